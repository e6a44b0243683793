// Disks that refuse: lets the writes of SQLite fail as the system would.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>

namespace weir::store {

// Made before the store, destroyed after it; one at a time.
class WriteFault {
 public:
  WriteFault() {
    Install("write", reinterpret_cast<sqlite3_syscall_ptr>(&Write), write_);
    // One of them is what this SQLite was built with.
    Install("pwrite", reinterpret_cast<sqlite3_syscall_ptr>(&WriteAt), write_at_);
    Install("pwrite64", reinterpret_cast<sqlite3_syscall_ptr>(&WriteAt), write_at_);
  }
  WriteFault(const WriteFault&) = delete;
  WriteFault& operator=(const WriteFault&) = delete;
  ~WriteFault() {
    Pass();
    for (const char* name : {"write", "pwrite", "pwrite64"}) {
      Vfs()->xSetSystemCall(Vfs(), name, nullptr);
    }
  }
  // All from now on fail with this number, but for the first so many.
  static void Begin(int error, int after = 0) {
    left_ = after;
    error_ = error;
  }
  static void Pass() { error_ = 0; }

 private:
  using Call = ssize_t (*)(int, const void*, std::size_t);
  using CallAt = ssize_t (*)(int, const void*, std::size_t, off_t);
  static sqlite3_vfs* Vfs() { return sqlite3_vfs_find("unix"); }
  template <typename T>
  static void Install(const char* name, sqlite3_syscall_ptr call, T& before) {
    if (const auto now = Vfs()->xGetSystemCall(Vfs(), name); now != nullptr) {
      before = reinterpret_cast<T>(now);
      Vfs()->xSetSystemCall(Vfs(), name, call);
    }
  }
  static bool Refuses() {
    if (error_ == 0 || left_-- > 0) {
      return false;
    }
    errno = error_;
    return true;
  }
  static ssize_t Write(int fd, const void* data, std::size_t size) { return Refuses() ? -1 : write_(fd, data, size); }
  static ssize_t WriteAt(int fd, const void* data, std::size_t size, off_t at) {
    return Refuses() ? -1 : write_at_(fd, data, size, at);
  }
  static inline std::atomic<int> error_;
  static inline std::atomic<int> left_;
  static inline Call write_ = nullptr;
  static inline CallAt write_at_ = nullptr;
};

}  // namespace weir::store
