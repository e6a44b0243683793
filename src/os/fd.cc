#include "os/fd.h"

#include <unistd.h>

namespace weir::os {

void UniqueFd::Close() {
  // Linux releases the number even when close is interrupted, so it is never repeated.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace weir::os
