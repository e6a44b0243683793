#include <fmt/format.h>

#include <exception>
#include <string>
#include <vector>

#include "app/main.h"

int main(int count, char** words) {
  try {
    return weir::app::Main(std::vector<std::string>(words + (count > 0 ? 1 : 0), words + count));
  } catch (const std::exception& error) {
    fmt::print(stderr, "weir: internal error: {}\n", error.what());
    return 1;
  }
}
