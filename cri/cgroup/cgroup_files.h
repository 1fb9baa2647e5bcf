// cgroup_files.h: the files of cgroups, of both versions.
#ifndef USETL_CRI_CGROUP_CGROUP_FILES_H_
#define USETL_CRI_CGROUP_CGROUP_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "records.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Errors are EIO and name the file.
Result<std::string> ReadCgroupFile(const std::string& path);
Status WriteCgroupFile(const std::string& path, std::string_view value);

// The number behind `key` at a line's start, or, with no key, the file's only one.
Result<uint64_t> ReadCgroupNumber(const std::string& path, std::string_view key);

// Limits that are not 0, into a directory of version 2.
Status WriteUnifiedLimits(const std::string& directory,
                          const runtime::v1::LinuxContainerResources& resources);
// The same for the controller of version 1 that lives there; cpuset takes what is missing from
// `parent`, for it starts empty and would let no process in.
Status WriteLimits(const std::string& directory, const std::string& parent,
                   std::string_view controller,
                   const runtime::v1::LinuxContainerResources& resources);

}  // namespace usetl::cri

#endif  // USETL_CRI_CGROUP_CGROUP_FILES_H_
