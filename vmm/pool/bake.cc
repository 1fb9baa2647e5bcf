// bake.cc: image to packs, packs to a booted guest, guest to a READY snapshot.
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "vmm/abi/mail.h"
#include "vmm/pack/pack_reader.h"
#include "vmm/pack/pack_writer.h"
#include "vmm/pool/kernel_file.h"
#include "vmm/pool/runtime.h"

namespace usetl {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// What a runtime image has no use for.
const std::vector<std::string> kExcluded = {"proc",        "sys",           "dev",
                                            "run",         "tmp",           "var/cache",
                                            "var/lib/apt", "usr/share/doc", "usr/share/man"};

Status WriteRootPack(const BakeOptions& options, const std::string& path, BakeReport* report) {
  pack::PackTree tree;
  const pack::SourceOptions source{kExcluded};
  struct stat info;
  if (stat(options.source.c_str(), &info) != 0) return Status::Errno(options.source);
  if (S_ISDIR(info.st_mode)) {
    USETL_RETURN_IF_ERROR(pack::AddDirectory(options.source, source, &tree));
  } else {
    const Fd archive(open(options.source.c_str(), O_RDONLY | O_CLOEXEC));
    if (!archive.ok()) return Status::Errno("open " + options.source);
    USETL_RETURN_IF_ERROR(
        pack::AddArchive(archive.get(), std::filesystem::path(path).parent_path(), source, &tree));
  }
  Result<pack::PackSummary> summary = pack::WritePack(tree, path, {});
  if (!summary.ok()) return summary.status();
  report->pack_bytes += summary->size;
  report->sites_rewritten += summary->sites.rewritten;
  return Status();
}

Status WriteAgentPack(const BakeOptions& options, const std::string& path, BakeReport* report) {
  pack::PackTree tree;
  USETL_RETURN_IF_ERROR(pack::AddDirectory(options.agent, {}, &tree));
  Result<pack::PackSummary> summary = pack::WritePack(tree, path, {});
  if (!summary.ok()) return summary.status();
  report->pack_bytes += summary->size;
  return Status();
}

Vm* g_baking = nullptr;  // for the signal handler

// Interrupts the guest now and then while it lives: one that waits for room in its output ring, or
// loops, does not leave KVM_RUN by itself.
class Ticks {
 public:
  explicit Ticks(Vm* vm) {
    g_baking = vm;
    struct sigaction action {};
    action.sa_handler = [](int) { g_baking->Kick(); };  // no SA_RESTART: KVM_RUN returns
    sigaction(SIGALRM, &action, &before_);
    constexpr timeval kPeriod{0, 20'000};
    const itimerval timer{kPeriod, kPeriod};
    setitimer(ITIMER_REAL, &timer, nullptr);
  }
  ~Ticks() {
    const itimerval off{};
    setitimer(ITIMER_REAL, &off, nullptr);
    sigaction(SIGALRM, &before_, nullptr);
    g_baking = nullptr;
  }
  Ticks(const Ticks&) = delete;
  Ticks& operator=(const Ticks&) = delete;

 private:
  struct sigaction before_ {};
};

// Runs the guest until READY. What it says meanwhile is shown when it fails.
Status BootToReady(Vm* vm, const BakeOptions& options) {
  abi::HostPage& host = vm->memory().host_page();
  abi::GuestPage& guest = vm->memory().guest_page();
  abi::RingConsumer output(&host.output, &guest.output, vm->memory().control() + abi::kOutputOffset,
                           abi::kOutputSize);
  std::string said;
  if (options.trace != 0) {
    vm->log = [](std::string_view line) {
      std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
    };
  }
  const auto limit = Clock::now() + std::chrono::seconds(30);
  const Ticks ticks(vm);
  for (;;) {
    Result<VmOutcome> outcome = vm->RunUntilEvent();
    if (!outcome.ok()) return outcome.status();
    char bytes[4096];
    for (int64_t n; (n = output.TakeBytes(bytes, sizeof bytes)) > 0;) {
      if (said.size() < 64 << 10) said.append(bytes, n);
    }
    if (outcome->event == VmEvent::kReady) return Status();
    const bool over = Clock::now() > limit;
    const bool goes_on =
        outcome->event == VmEvent::kIdle || outcome->event == VmEvent::kInterrupted;
    if (!goes_on || over) {
      for (char& c : said) {
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n') c = ' ';
      }
      return Status(ECHILD, "the runtime did not become ready: " +
                                (over ? "30 s have passed" : outcome->report) +
                                (said.empty() ? "" : "\nit said:\n" + said));
    }
    if (outcome->event == VmEvent::kIdle && outcome->deadline != ~0ull) {
      timespec pause{0, 200'000};
      nanosleep(&pause, nullptr);
    }
  }
}

}  // namespace

Result<BakeReport> Bake(const BakeOptions& options) {
  BakeReport report;
  const auto tell = [&](const std::string& step) {
    if (options.progress) options.progress(step);
  };
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path target = fs::path(options.directory) / options.name;
  const fs::path work = fs::path(options.directory) / (options.name + ".new");
  fs::remove_all(work, error);
  fs::create_directories(work, error);
  if (error) return Status(error.value(), "create " + work.string() + ": " + error.message());
  struct Cleanup {
    const fs::path& path;
    ~Cleanup() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } cleanup{work};

  tell("packing " + options.source);
  auto begin = Clock::now();
  const std::string packs[] = {work / "layer-0.pack", work / "layer-1.pack"};
  USETL_RETURN_IF_ERROR(WriteRootPack(options, packs[0], &report));
  USETL_RETURN_IF_ERROR(WriteAgentPack(options, packs[1], &report));
  report.pack_ms = MillisecondsSince(begin);

  tell("booting the runtime");
  begin = Clock::now();
  Result<KernelFile> kernel = ReadKernel(options.kernel);
  if (!kernel.ok()) return kernel.status();
  VmConfig config;
  const Fd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm.ok()) return Status::Errno("open /dev/kvm (run usetl doctor)");
  constexpr uint64_t kRegion = 4 << 20;
  const Fd control(memfd_create("usetl-control", MFD_CLOEXEC));
  const Fd region(memfd_create("usetl-region", MFD_CLOEXEC));
  if (ftruncate(control.get(), abi::kControl.size) != 0 ||
      ftruncate(region.get(), 2 * kRegion) != 0) {
    return Status::Errno("memory for the control window");
  }
  const Fd guest_region(memfd_create("usetl-region", MFD_CLOEXEC));
  if (ftruncate(guest_region.get(), kRegion) != 0) return Status::Errno("memory for a region");
  config.kvm_fd = kvm.get();
  config.trace = options.trace;
  config.memory.control_fd = control.get();
  config.memory.host_region_fd = region.get();
  config.memory.host_region_size = kRegion;
  config.memory.guest_region_fd = guest_region.get();
  config.memory.guest_region_size = kRegion;
  std::vector<Digest> digests;
  std::vector<pack::Pack> opened;
  for (const std::string& path : packs) {
    Result<pack::Pack> pack = pack::OpenPack(path, false);
    if (!pack.ok()) return pack.status().Annotate(path);
    Digest digest;
    std::memcpy(digest.data(), pack->header().digest, digest.size());
    digests.push_back(digest);
    config.memory.packs.push_back({pack->fd(), pack->bytes().size()});
    opened.push_back(std::move(*pack));
  }
  Result<std::unique_ptr<Vm>> vm = Vm::Create(config);
  if (!vm.ok()) return vm.status();
  USETL_RETURN_IF_ERROR((*vm)->Boot(
      kernel->bytes, {"/usr/bin/python3.11", "-X", "frozen_modules=on", "-m", "usetl.agent"},
      {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root", "LANG=C.UTF-8", "LC_CTYPE=C.UTF-8",
       "PYTHONPATH=/usr/lib/usetl", "PYTHONDONTWRITEBYTECODE=1", "USETL_GUEST=1", "LD_BIND_NOW=1",
       "OPENBLAS_NUM_THREADS=1"}));
  USETL_RETURN_IF_ERROR(BootToReady(vm->get(), options));
  report.boot_ms = MillisecondsSince(begin);
  report.exits = (*vm)->exits;

  tell("writing the snapshot");
  begin = Clock::now();
  Result<Snapshot> snapshot = Snapshot::Take(vm->get(), digests, kernel->digest);
  if (!snapshot.ok()) return snapshot.status();
  USETL_RETURN_IF_ERROR(snapshot->Store(work / "snapshot"));
  report.snapshot_bytes = snapshot->index().size;
  fs::remove_all(target, error);
  fs::rename(work, target, error);
  if (error) return Status(error.value(), "rename " + work.string() + ": " + error.message());
  report.store_ms = MillisecondsSince(begin);
  return report;
}

}  // namespace usetl
