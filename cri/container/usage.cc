#include "cri/container/usage.h"

#include <dirent.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

namespace usetl::cri {
namespace {

using File = std::unique_ptr<FILE, int (*)(FILE*)>;

File OpenOf(pid_t process, const char* name) {
  const std::string path = "/proc/" + std::to_string(process) + "/" + name;
  return File(std::fopen(path.c_str(), "re"), std::fclose);
}

uint64_t CpuTime(pid_t process) {
  clockid_t clock;
  timespec used;
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
  return uint64_t(used.tv_sec) * 1'000'000'000 + used.tv_nsec;
}

// A process that ends meanwhile adds nothing: the container's exit is about to be seen.
void AddProcess(pid_t process, Usage* usage) {
  if (process <= 0) return;
  usage->cpu_ns += CpuTime(process);
  static const uint64_t page = sysconf(_SC_PAGESIZE);
  unsigned long size = 0, resident = 0, shared = 0;
  if (const File statm = OpenOf(process, "statm");
      statm != nullptr && std::fscanf(statm.get(), "%lu %lu %lu", &size, &resident, &shared) == 3) {
    usage->resident_bytes += resident * page;
    usage->private_bytes += (resident - std::min(resident, shared)) * page;
    ++usage->processes;
  }
  // Fields 10, 12, 14 and 15, behind the name in brackets: minflt, majflt, utime and stime.
  unsigned long minor = 0, major = 0, user = 0, system = 0;
  if (const File stat = OpenOf(process, "stat");
      stat != nullptr &&
      std::fscanf(stat.get(), "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %lu %*u %lu %*u %lu %lu",
                  &minor, &major, &user, &system) == 4) {
    usage->page_faults += minor + major;
    usage->major_page_faults += major;
    usage->user_ticks += user;
    usage->system_ticks += system;
  }
}

// Lines "KEY:   NUMBER kB" of its status.
void AddStatus(pid_t process, UsageDetails* details) {
  const std::pair<std::string_view, uint64_t*> wanted[] = {
      {"VmHWM:", &details->peak_bytes},
      {"VmSwap:", &details->swap_bytes},
      {"VmPTE:", &details->page_table_bytes},
  };
  const File status = OpenOf(process, "status");
  if (process <= 0 || status == nullptr) return;
  char line[256];
  while (std::fgets(line, sizeof line, status.get()) != nullptr) {
    for (const auto& [key, sum] : wanted) {
      if (!std::string_view(line).starts_with(key)) continue;
      *sum += std::strtoull(line + key.size(), nullptr, 10) << 10;
    }
  }
}

void CountDescriptors(pid_t process, UsageDetails* details) {
  const std::string path = "/proc/" + std::to_string(process) + "/fd";
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (process <= 0 || directory == nullptr) return;
  while (const dirent* entry = readdir(directory.get())) {
    char target[16];
    const ssize_t size = readlinkat(dirfd(directory.get()), entry->d_name, target, sizeof target);
    if (size < 0) continue;  // "." and "..", or closed meanwhile
    ++details->descriptors;
    if (std::string_view(target, size).starts_with("socket:")) ++details->sockets;
  }
}

}  // namespace

Usage ReadUsage(const ContainerRecord& container) {
  Usage usage;
  if (container.state() != runtime::v1::CONTAINER_RUNNING) {
    usage.cpu_ns = container.cpu_ns();
    return usage;
  }
  AddProcess(container.usf_pid(), &usage);
  // What it used in the pool is nobody's.
  usage.cpu_ns -= std::min<uint64_t>(usage.cpu_ns, container.usf_cpu_ns());
  AddProcess(container.worker_pid(), &usage);
  return usage;
}

Usage& operator+=(Usage& a, const Usage& b) {
  a.cpu_ns += b.cpu_ns;
  a.private_bytes += b.private_bytes;
  a.resident_bytes += b.resident_bytes;
  a.page_faults += b.page_faults;
  a.major_page_faults += b.major_page_faults;
  a.processes += b.processes;
  a.user_ticks += b.user_ticks;
  a.system_ticks += b.system_ticks;
  return a;
}

UsageDetails ReadDetails(const ContainerRecord& container) {
  UsageDetails details;
  if (container.state() != runtime::v1::CONTAINER_RUNNING) return details;
  for (const pid_t process : {container.usf_pid(), container.worker_pid()}) {
    AddStatus(process, &details);
    CountDescriptors(process, &details);
  }
  return details;
}

uint64_t ReadSwap(const ContainerRecord& container) {
  struct sysinfo machine;
  if (sysinfo(&machine) != 0 || machine.totalswap == 0) return 0;
  if (container.state() != runtime::v1::CONTAINER_RUNNING) return 0;
  UsageDetails details;
  for (const pid_t process : {container.usf_pid(), container.worker_pid()}) {
    AddStatus(process, &details);
  }
  return details.swap_bytes;
}

}  // namespace usetl::cri
