#include <exception>
#include <string>
#include <vector>

#include "app/main.h"
#include "app/speak.h"

int main(int count, char** words) {
  try {
    return weir::app::Main(std::vector<std::string>(words + (count > 0 ? 1 : 0), words + count));
  } catch (const std::exception& error) {
    weir::app::Tell(std::string("weir: internal error: ") + error.what() + "\n");
    return 1;
  }
}
