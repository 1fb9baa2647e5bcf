// version.h: which USETL this is.
#ifndef USETL_VMM_BASE_VERSION_H_
#define USETL_VMM_BASE_VERSION_H_

namespace usetl {

// As the project's CMakeLists.txt says it: "1.2.3".
const char* Version();

}  // namespace usetl

#endif  // USETL_VMM_BASE_VERSION_H_
