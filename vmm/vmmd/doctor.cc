#include "vmm/vmmd/doctor.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string_view>
#include <vector>

#include "vmm/base/command_line.h"
#include "vmm/base/installation.h"
#include "vmm/base/network_places.h"
#include "vmm/platform/kvm/kvm_abi.h"
#include "vmm/pool/runtime.h"
#include "vmm/pool/tmpfs.h"
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

std::string ReadText(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Whether the processor shows hardware virtualisation.
bool HasVmxOrSvm() {
  const std::string cpu = ReadText("/proc/cpuinfo");
  return cpu.find(" vmx") != std::string::npos || cpu.find(" svm") != std::string::npos;
}

std::string KvmRemedy(int error) {
  if (error == EACCES || error == EPERM) return "use sudo; in a container: --device /dev/kvm";
  if (error == ENOENT && !HasVmxOrSvm()) {
    return "the processor shows no VMX or SVM: enable virtualisation in the firmware, or nested "
           "virtualisation of the hypervisor; in a container: --device /dev/kvm";
  }
  return "load the module: modprobe kvm_intel (or kvm_amd); in a container: --device /dev/kvm";
}

void CheckKvm(Report* report) {
  const Fd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm.ok()) {
    const int error = errno;
    report->Line(false, std::string("/dev/kvm: ") + std::strerror(error), KvmRemedy(error));
    return;
  }
  if (ioctl(kvm.get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
    report->Line(false, "/dev/kvm: does not speak version 12 of the KVM API",
                 "it must be the device 10:232 of a Linux kernel with KVM");
    return;
  }
  report->Line(true, "/dev/kvm, API version 12");
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
  if (!HasVmxOrSvm()) {
    report->Note(
        "no VMX or SVM: KVM is paravirtual here, exits cost 10-30 times those of bare metal");
  }
}

// What the daemons make for their USFs. Root alone can tell.
void CheckJail(Report* report) {
  if (geteuid() != 0) {
    report->Line(false, "running as root", "the daemons need it to jail USFs: use sudo");
    report->Note("not looked at without root: empty roots, network namespaces, 2 MB pages");
    return;
  }
  report->Line(true, "running as root");
  const auto made = [&](const char* what, const Result<Fd>& result, const char* remedy) {
    report->Line(result.ok(), what + (result.ok() ? "" : ": " + result.status().message()), remedy);
  };
  made("empty roots", MakeEmptyRoot(), "needs CAP_SYS_ADMIN; in a container: --privileged");
  made("network namespaces", MakeEmptyNetwork(),
       "needs CAP_SYS_ADMIN; in a container: --privileged");
  const char* const kSetting = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  const bool denied = ReadText(kSetting).find("[deny]") != std::string::npos;
  const char* const kRemedy =
      "needs transparent huge pages (CONFIG_TRANSPARENT_HUGEPAGE), or: usetl up --no-huge-pages";
  if (denied) {
    report->Line(false, "2 MB pages", std::string("echo never > ") + kSetting);
  } else {
    made("2 MB pages", NewHugeFile(abi::kHugePageSize), kRemedy);
  }
}

// How many USFs the limits of this machine allow.
void CheckRoom(Report* report) {
  constexpr uint64_t kDescriptors = 7, kMegabytes = 3;  // of one USF, ready
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
    report->Line(false, std::string("open files: ") + std::strerror(errno));
    return;
  }
  const uint64_t by_files = files.rlim_cur / kDescriptors;
  const std::string text = std::to_string(files.rlim_cur) + " open files, enough for " +
                           std::to_string(by_files) + " USFs";
  report->Line(by_files >= 16, text, "raise the limit: ulimit -n 20000");
  uint64_t available_kb = 0;
  const std::string memory = ReadText("/proc/meminfo");
  const size_t at = memory.find("MemAvailable:");
  if (at != std::string::npos) available_kb = std::strtoull(&memory[at + 13], nullptr, 10);
  const uint64_t megabytes = available_kb >> 10;
  report->Line(megabytes >= 256,
               std::to_string(megabytes) + " MB of memory available, enough for " +
                   std::to_string(megabytes / kMegabytes) + " idle USFs",
               "end what takes the memory");
}

void CheckRuntime(Report* report, const std::string& runtimes) {
  Result<Runtime> runtime = OpenRuntime(runtimes, kDefaultRuntime, KernelPath());
  if (runtime.ok()) {
    report->Line(true, "runtime python3.11 in " + runtimes);
    return;
  }
  const bool absent = runtime.status().code() == ENOENT;
  report->Line(
      false, absent ? "no runtime python3.11 in " + runtimes : runtime.status().message(),
      absent ? "usetl bake ROOTFS; if it lies elsewhere, set USETL_RUNTIMES or --runtimes" : "");
}

// Whether a directory has something; of these kinds, if any are named.
bool HasFile(const std::string& directory, std::initializer_list<std::string_view> kinds) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string kind = entry->path().extension();
    if (kinds.size() == 0 || std::ranges::count(kinds, std::string_view(kind)) > 0) return true;
  }
  return false;
}

bool IsInPath(const char* program) {
  const char* const path = std::getenv("PATH");
  std::istringstream directories(path == nullptr ? "" : path);
  for (std::string directory; std::getline(directories, directory, ':');) {
    if (access((directory + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

// What only pods need, and not all of them.
void CheckPods(Report* report) {
  if (!HasFile(kNetworkConfigs, {".conflist", ".conf", ".json"})) {
    report->Note(std::string("no network configuration in ") + kNetworkConfigs +
                 ": pods need one there (manifests/samples/cni has one), or a node without "
                 "network: usetl up --cri --no-network");
  } else if (std::ranges::none_of(kNetworkPlugins,
                                  [](const char* plugins) { return HasFile(plugins, {}); })) {
    report->Note(std::string("no network plugins in ") + kNetworkPlugins[0] + " or " +
                 kNetworkPlugins[1] +
                 ": pods need them (Debian has them as containernetworking-plugins), or a node "
                 "without network: usetl up --cri --no-network");
  }
  if (!IsInPath("crictl")) {
    report->Note("no crictl: usetl run --pod POD.yaml runs pods too (usetl run --pod --help)");
  }
}

int Doctor(const std::string& runtimes) {
  Report report;
  CheckKvm(&report);
  CheckJail(&report);
  CheckRoom(&report);
  std::vector<std::string> files = {KernelPath(), AgentPath(), UsfPath()};
  for (const char* program : {"usetl-proxy", "usetl-bake", "usetl-image", "usetld", "usetl-pod"}) {
    files.push_back(InstalledPath(program));
  }
  for (const std::string& path : files) {
    report.Line(std::filesystem::exists(path), path, "missing: build or install USETL again");
  }
  CheckRuntime(&report, runtimes);
  CheckPods(&report);
  if (report.bad() == 0) {
    std::printf("This machine is ready.\n");
    return 0;
  }
  std::printf("%d %s to mend.\n", report.bad(), report.bad() == 1 ? "thing" : "things");
  return 1;
}

}  // namespace

int DoctorMain(int argc, char** argv) {
  std::string runtimes = DefaultRuntimes();
  CLI::App app{
      "Says what this machine has and lacks to run functions, a line each, and what to do about\n"
      "what it lacks. Exit status: 0 it is ready, 1 something is to mend, 2 wrong arguments.",
      argv[0]};
  app.add_option("--runtimes", runtimes, "directory of baked runtimes")->capture_default_str();
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  return Doctor(runtimes);
}

}  // namespace usetl
