#include "vmm/vmmd/doctor.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "vmm/base/installation.h"
#include "vmm/platform/kvm/kvm_abi.h"
#include "vmm/pool/runtime.h"
#include "vmm/vmmd/environment.h"

namespace usetl {
namespace {

class Report {
 public:
  void Line(bool good, const std::string& what, const std::string& remedy = "") {
    std::printf("%-4s %s%s%s\n", good ? "ok" : "BAD", what.c_str(),
                good || remedy.empty() ? "" : " - ", good ? "" : remedy.c_str());
    if (!good) ++bad_;
  }
  void Note(const std::string& what) { std::printf("note %s\n", what.c_str()); }
  int bad() const { return bad_; }

 private:
  int bad_ = 0;
};

void CheckKvm(Report* report) {
  const Fd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm.ok()) {
    report->Line(false, std::string("/dev/kvm: ") + std::strerror(errno),
                 errno == ENOENT ? "load the kvm module, or enable virtualisation in the firmware"
                                 : "run as root or join the group kvm");
    return;
  }
  report->Line(ioctl(kvm.get(), KVM_GET_API_VERSION, 0) == KVM_API_VERSION,
               "/dev/kvm, API version 12");
  const struct {
    long capability;
    const char* name;
  } needed[] = {{KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
                {KVM_CAP_SYNC_REGS, "registers in kvm_run"},
                {KVM_CAP_IOEVENTFD, "ioeventfd"},
                {KVM_CAP_READONLY_MEM, "read-only memory slots"},
                {KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, "manual dirty log"}};
  for (const auto& capability : needed) {
    report->Line(ioctl(kvm.get(), KVM_CHECK_EXTENSION, capability.capability) > 0,
                 std::string("KVM: ") + capability.name, "needs a newer kernel");
  }
  Result<std::unique_ptr<Machine>> machine = CreateKvmMachine(kvm.get());
  report->Line(machine.ok(),
               "a VM with one vCPU" + (machine.ok() ? "" : ": " + machine.status().message()));
  std::ifstream cpu("/proc/cpuinfo");
  const std::string text((std::istreambuf_iterator<char>(cpu)), {});
  if (text.find(" vmx") == std::string::npos && text.find(" svm") == std::string::npos) {
    report->Note(
        "no VMX or SVM: KVM is paravirtual here, exits cost 10-30 times those of bare metal");
  }
}

}  // namespace

int Doctor(const std::string& runtimes) {
  Report report;
  report.Line(geteuid() == 0, "running as root", "the daemons need root to jail USFs: use sudo");
  CheckKvm(&report);
  report.Line(MakeEmptyRoot().ok(), "detached mounts for the jail", "needs CAP_SYS_ADMIN");
  report.Line(MakeHugeDirectory().ok(), "tmpfs with 2 MB pages",
              "needs CONFIG_TRANSPARENT_HUGEPAGE");
  report.Line(MakeEmptyNetwork().ok(), "network namespaces", "needs CAP_SYS_ADMIN");
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  report.Note("open files: " + std::to_string(files.rlim_cur) + ", enough for " +
              std::to_string(files.rlim_cur / 7) + " USFs");
  for (const std::string& path : {KernelPath(), AgentPath(), UsfPath(),
                                  InstalledPath("usetl-proxy"), InstalledPath("usetl-bake")}) {
    report.Line(std::filesystem::exists(path), path, "build or install USETL again");
  }
  Result<Runtime> runtime = OpenRuntime(runtimes, "python3.11", KernelPath());
  report.Line(runtime.ok(), "runtime python3.11 in " + runtimes,
              runtime.ok() ? "" : runtime.status().message());
  std::printf(report.bad() == 0 ? "This machine is ready.\n" : "%d things to mend.\n",
              report.bad());
  return report.bad() == 0 ? 0 : 1;
}

}  // namespace usetl
