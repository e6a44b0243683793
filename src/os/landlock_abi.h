// The Landlock version of this kernel. Not for other rooms: they read SandboxSupport.
#pragma once

namespace weir::os {

// 0: none, also when a container manager blocks the query.
int LandlockAbi();

}  // namespace weir::os
