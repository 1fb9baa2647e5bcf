// annotations.h: what pods are told by annotations. Others of this prefix are refused: a name that
// is misspelt would be one that asks for nothing.
#ifndef USETL_CRI_CONTAINER_ANNOTATIONS_H_
#define USETL_CRI_CONTAINER_ANNOTATIONS_H_

namespace usetl::cri {

inline constexpr char kAnnotationPrefix[] = "usetl.dev/";

inline constexpr char kAllowKey[] = "usetl.dev/allow";      // origins that it may reach
inline constexpr char kExecKey[] = "usetl.dev/exec";        // how programs beside it run
inline constexpr char kHandlerKey[] = "usetl.dev/handler";  // MODULE:NAME; also a label of images
inline constexpr char kIsolationKey[] = "usetl.dev/isolation";  // what a micro-VM serves
inline constexpr char kRuntimeKey[] = "usetl.dev/runtime";      // its name; also a label of images
inline constexpr char kTimeoutKey[] = "usetl.dev/timeout";      // of a request

// All of them, in the order in which users see them.
inline constexpr const char* kAnnotations[] = {kAllowKey,     kExecKey,    kHandlerKey,
                                               kIsolationKey, kRuntimeKey, kTimeoutKey};

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_ANNOTATIONS_H_
