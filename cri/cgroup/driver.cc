#include "cri/cgroup/driver.h"

#include <sys/stat.h>

namespace usetl::cri {

Result<CgroupDriver> ChooseCgroupDriver(std::string_view word, const std::string& systemd) {
  if (word == "cgroupfs") return CgroupDriver::kCgroupfs;
  if (word == "systemd") return CgroupDriver::kSystemd;
  if (word != "auto") {
    return Status(EINVAL, "no cgroup driver \"" + std::string(word) +
                              "\"; those that there are: cgroupfs, systemd, auto");
  }
  struct stat info;  // not through a link, as sd_booted(3) has it
  const bool runs = lstat(systemd.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  return runs ? CgroupDriver::kSystemd : CgroupDriver::kCgroupfs;
}

const char* DefaultCgroupParent(CgroupDriver driver) {
  return driver == CgroupDriver::kSystemd ? "/usetl.slice" : "/usetl";
}

}  // namespace usetl::cri
