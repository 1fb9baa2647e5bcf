// image_runtime.h: what runtimes that are baked from images are called.
#ifndef USETL_VMM_BASE_IMAGE_RUNTIME_H_
#define USETL_VMM_BASE_IMAGE_RUNTIME_H_

#include <algorithm>
#include <string>
#include <string_view>

namespace usetl {

inline constexpr std::string_view kImageRuntimePrefix = "image-";
// 128 bits: nobody finds another image whose runtime has the same name.
inline constexpr size_t kImageRuntimeDigits = 32;

// Of the image with this id, "sha256:HEX".
inline std::string ImageRuntimeName(std::string_view id) {
  return std::string(kImageRuntimePrefix) +
         std::string(id.substr(id.find(':') + 1).substr(0, kImageRuntimeDigits));
}

inline bool IsImageRuntime(std::string_view name) {
  if (!name.starts_with(kImageRuntimePrefix)) return false;
  name.remove_prefix(kImageRuntimePrefix.size());
  return name.size() == kImageRuntimeDigits && std::ranges::all_of(name, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace usetl

#endif  // USETL_VMM_BASE_IMAGE_RUNTIME_H_
