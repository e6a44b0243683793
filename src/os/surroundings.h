// What a process has around it from birth: environment, number, inherited descriptors, chance, its service manager.
// Nothing is kept between calls. Reading the environment is safe on any thread as long as none changes it.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "os/fd.h"

namespace weir::os {

std::map<std::string, std::string> Environment();
// Before other threads exist only.
void Forget(const std::string& variable);
int ProcessId();

// Bytes that nobody can guess, from the kernel. Errors: kSystem.
Result<std::string> RandomBytes(std::size_t size);

// One datagram to a Unix socket; "@name" is one without a file. Does not wait for a slow reader.
// Errors: kBadParameters (not an address), kSystem.
Status SendDatagram(const std::string& address, std::string_view text);

// A descriptor that this process was started with becomes ours: close-on-exec, non-blocking, and a stream socket that
// listens. Errors: kBadParameters (nothing open there, or something else).
Result<UniqueFd> AdoptListener(int fd);

// Like WriteFileAtomically, for a file that belongs to others as well: permissions and owner stay, links are
// followed. A new file may be read by all when `readable_by_all`. Errors: kOutputFolder, kOutputUnwritable,
// kDiskFull.
Status ReplaceFile(const std::string& path, std::string_view content, bool readable_by_all);

}  // namespace weir::os
