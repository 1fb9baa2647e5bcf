// cgroup_files.h: the files of cgroups, of both versions.
#ifndef USETL_CRI_CGROUP_CGROUP_FILES_H_
#define USETL_CRI_CGROUP_CGROUP_FILES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "records.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Errors are EIO and name the file.
Result<std::string> ReadCgroupFile(const std::string& path);
Status WriteCgroupFile(const std::string& path, std::string_view value);
// A cgroup's directory; one that is not there is fine, also where nothing can be written. EBUSY,
// ENOTEMPTY: something is in it; else EIO.
Status RemoveCgroupDirectory(const std::string& directory);

// The number behind `key` at a line's start, or, with no key, the file's only one.
Result<uint64_t> ReadCgroupNumber(const std::string& path, std::string_view key);

// Of a file of pressure: the part of the last 10, 60 and 300 seconds, in percent, and the time in
// all, in microseconds, in which some or all that could have run was kept.
struct PressureShare {
  double avg10 = 0, avg60 = 0, avg300 = 0;
  uint64_t total_us = 0;
};
struct Pressure {
  PressureShare some, full;
};
// None when `text` is not such a file's.
std::optional<Pressure> ParsePressure(std::string_view text);
// None where the kernel keeps none.
std::optional<Pressure> ReadPressure(const std::string& path);

// Whether a word of cgroup.controllers' text is that controller.
bool HasController(const std::string& available, const std::string& controller);
// Lets children of a directory of version 2 have those of the controllers that pods are limited by
// which it has itself.
Status PassControllersOn(const std::string& directory);

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
