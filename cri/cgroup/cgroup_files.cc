#include "cri/cgroup/cgroup_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "vmm/base/fd.h"

namespace usetl::cri {
namespace {

using Resources = runtime::v1::LinuxContainerResources;

constexpr size_t kMaxFile = 64 << 10;

Status Failed(const std::string& what) { return Status(EIO, Status::Errno(what).message()); }

// What version 2 has in place of shares: 2..262144 become 1..10000.
int64_t WeightOf(int64_t shares) {
  shares = std::clamp<int64_t>(shares, 2, 262144);
  return 1 + (shares - 2) * 9999 / 262142;
}

Status WriteNumber(const std::string& path, int64_t value) {
  if (value == 0) return Status();
  return WriteCgroupFile(path, std::to_string(value));
}

Status WriteCpuset(const std::string& directory, const std::string& parent, const char* name,
                   const std::string& wanted) {
  if (!wanted.empty()) return WriteCgroupFile(directory + name, wanted);
  const Result<std::string> inherited = ReadCgroupFile(parent + name);
  if (!inherited.ok()) return inherited.status();
  return WriteCgroupFile(directory + name, *inherited);
}

}  // namespace

Result<std::string> ReadCgroupFile(const std::string& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.ok()) return Failed("open " + path);
  std::string text;
  char bytes[1024];
  while (text.size() < kMaxFile) {
    const ssize_t n = read(file.get(), bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("read " + path);
    if (n == 0) break;
    text.append(bytes, n);
  }
  return text;
}

Status WriteCgroupFile(const std::string& path, std::string_view value) {
  const Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.ok()) return Failed("open " + path);
  if (write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size())) {
    return Status();
  }
  return Failed("write " + path);
}

Status RemoveCgroupDirectory(const std::string& directory) {
  if (rmdir(directory.c_str()) == 0) return Status();
  const int code = errno;
  // A mount that is read-only says so of what is not there, too.
  struct stat info;
  if (lstat(directory.c_str(), &info) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
    return Status();
  }
  errno = code;
  const Status failed = Failed("remove the cgroup " + directory);
  return code == EBUSY || code == ENOTEMPTY ? Status(code, failed.message()) : failed;
}

Result<uint64_t> ReadCgroupNumber(const std::string& path, std::string_view key) {
  const Result<std::string> text = ReadCgroupFile(path);
  if (!text.ok()) return text.status();
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!key.empty()) {
      if (!line.starts_with(key) || line.substr(key.size(), 1) != " ") continue;
      line.remove_prefix(key.size() + 1);
    }
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error == std::errc() && end == line.data() + line.size()) return value;
  }
  return Status(EIO, path + " lacks " + (key.empty() ? "a number" : std::string(key)));
}

std::optional<Pressure> ParsePressure(std::string_view text) {
  const std::string lines(text);  // ended by a zero
  Pressure pressure;
  const auto parse = [&](const char* begin, const char* format, PressureShare* share) {
    unsigned long long total = 0;
    if (begin == nullptr ||
        std::sscanf(begin, format, &share->avg10, &share->avg60, &share->avg300, &total) != 4) {
      return false;
    }
    share->total_us = total;
    return true;
  };
  if (!parse(lines.c_str(), "some avg10=%lf avg60=%lf avg300=%lf total=%llu", &pressure.some)) {
    return std::nullopt;
  }
  // Of the processor there is no second line in older kernels.
  const size_t second = lines.find("\nfull ");
  if (second != lines.npos &&
      !parse(lines.c_str() + second, " full avg10=%lf avg60=%lf avg300=%lf total=%llu",
             &pressure.full)) {
    return std::nullopt;
  }
  return pressure;
}

std::optional<Pressure> ReadPressure(const std::string& path) {
  const Result<std::string> text = ReadCgroupFile(path);
  return text.ok() ? ParsePressure(*text) : std::nullopt;
}

bool HasController(const std::string& available, const std::string& controller) {
  const std::string words = " " + available.substr(0, available.find('\n')) + " ";
  return words.find(" " + controller + " ") != std::string::npos;
}

Status PassControllersOn(const std::string& directory) {
  const Result<std::string> available = ReadCgroupFile(directory + "/cgroup.controllers");
  if (!available.ok()) return available.status();
  for (const char* controller : {"cpu", "cpuset", "memory", "pids"}) {
    if (!HasController(*available, controller)) continue;
    USETL_RETURN_IF_ERROR(
        WriteCgroupFile(directory + "/cgroup.subtree_control", std::string("+") + controller));
  }
  return Status();
}

Status WriteUnifiedLimits(const std::string& directory, const Resources& resources) {
  USETL_RETURN_IF_ERROR(WriteNumber(directory + "/memory.max", resources.memory_limit_in_bytes()));
  if (resources.cpu_shares() != 0) {
    USETL_RETURN_IF_ERROR(WriteNumber(directory + "/cpu.weight", WeightOf(resources.cpu_shares())));
  }
  if (resources.cpu_quota() != 0 || resources.cpu_period() != 0) {
    constexpr int64_t kPeriod = 100'000;  // us; the kernel's own
    const int64_t period = resources.cpu_period() == 0 ? kPeriod : resources.cpu_period();
    const std::string quota =
        resources.cpu_quota() > 0 ? std::to_string(resources.cpu_quota()) : "max";
    USETL_RETURN_IF_ERROR(
        WriteCgroupFile(directory + "/cpu.max", quota + " " + std::to_string(period)));
  }
  for (const auto& [name, value] : {std::pair{"/cpuset.cpus", resources.cpuset_cpus()},
                                    std::pair{"/cpuset.mems", resources.cpuset_mems()}}) {
    if (!value.empty()) USETL_RETURN_IF_ERROR(WriteCgroupFile(directory + name, value));
  }
  return Status();
}

Status WriteLimits(const std::string& directory, const std::string& parent,
                   std::string_view controller, const Resources& resources) {
  if (controller == "cpuset") {
    USETL_RETURN_IF_ERROR(WriteCpuset(directory, parent, "/cpuset.cpus", resources.cpuset_cpus()));
    return WriteCpuset(directory, parent, "/cpuset.mems", resources.cpuset_mems());
  }
  if (controller == "memory") {
    return WriteNumber(directory + "/memory.limit_in_bytes", resources.memory_limit_in_bytes());
  }
  if (controller != "cpu") return Status();  // cpuacct and pids count only
  USETL_RETURN_IF_ERROR(WriteNumber(directory + "/cpu.shares", resources.cpu_shares()));
  // The quota is checked against the period.
  USETL_RETURN_IF_ERROR(WriteNumber(directory + "/cpu.cfs_period_us", resources.cpu_period()));
  return WriteNumber(directory + "/cpu.cfs_quota_us", resources.cpu_quota());
}

}  // namespace usetl::cri
