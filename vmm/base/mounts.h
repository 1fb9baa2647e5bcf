// mounts.h: the text of /proc/self/mountinfo.
#ifndef USETL_VMM_BASE_MOUNTS_H_
#define USETL_VMM_BASE_MOUNTS_H_

#include <string>
#include <string_view>
#include <vector>

namespace usetl {

struct MountEntry {
  std::string root;  // what of the file system is mounted
  std::string path;
  std::string type, options;  // the latter of the file system, separated by commas
};

// Lines that are none are left out.
std::vector<MountEntry> ParseMounts(std::string_view mountinfo);

// What lies between separators; of an empty text one part, which is empty.
std::vector<std::string_view> Split(std::string_view text, char separator);

}  // namespace usetl

#endif  // USETL_VMM_BASE_MOUNTS_H_
