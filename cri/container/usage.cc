#include "cri/container/usage.h"

#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

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
  // Fields 10 and 12, behind the name in brackets: minflt and majflt.
  unsigned long minor = 0, major = 0;
  if (const File stat = OpenOf(process, "stat");
      stat != nullptr &&
      std::fscanf(stat.get(), "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %lu %*u %lu", &minor,
                  &major) == 2) {
    usage->page_faults += minor + major;
    usage->major_page_faults += major;
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
  return a;
}

}  // namespace usetl::cri
