# weir_room(NAME ROOMS r... LIBRARIES l...): one room as a static library of its .cc files, linked with exactly
# the rooms and libraries of its row in tools/layers.txt, and its unit tests (*_test.cc) as one program.
find_package(GTest)

function(weir_room name)
  cmake_parse_arguments(ROOM "" "" "ROOMS;LIBRARIES;TEST_LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(TRANSFORM ROOM_ROOMS PREPEND weir_)

  add_library(weir_${name} STATIC ${sources})
  target_include_directories(weir_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(weir_${name} PUBLIC ${ROOM_ROOMS} ${ROOM_LIBRARIES})

  if(WEIR_TESTS)
    # Every header compiles alone.
    file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.h)
    set(alone)
    foreach(header ${headers})
      get_filename_component(stem ${header} NAME_WE)
      set(unit ${CMAKE_CURRENT_BINARY_DIR}/alone/${name}_${stem}.cc)
      file(CONFIGURE OUTPUT ${unit} CONTENT "#include \"${name}/${stem}.h\"\n")
      list(APPEND alone ${unit})
    endforeach()
    if(alone AND WEIR_HEADERS_ALONE)
      add_library(weir_${name}_headers OBJECT ${alone})
      target_link_libraries(weir_${name}_headers PRIVATE weir_${name})
    endif()
    if(tests)
      add_executable(weir_${name}_test ${tests})
      target_link_libraries(weir_${name}_test PRIVATE weir_${name} ${ROOM_TEST_LIBRARIES} GTest::gmock GTest::gtest_main)
      add_test(NAME ${name} COMMAND weir_${name}_test --gtest_brief=1)
      set_tests_properties(${name} PROPERTIES
        ENVIRONMENT "WEIR_FAKE_FFMPEG=$<TARGET_FILE:fake_ffmpeg>;WEIR_SOURCE_DIR=${CMAKE_SOURCE_DIR}" TIMEOUT 300)
      if(name MATCHES "^(os|process)$")
        # Both leave abandoned groups on purpose, and sweep what is abandoned.
        set_tests_properties(${name} PROPERTIES RESOURCE_LOCK control-groups)
      endif()
      add_dependencies(weir_${name}_test fake_ffmpeg)
    endif()
  endif()
endfunction()
