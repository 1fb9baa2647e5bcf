#include "vmm/base/version.h"

namespace usetl {

const char* Version() { return USETL_VERSION; }

}  // namespace usetl
