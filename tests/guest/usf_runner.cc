// usf_runner.cc: runs one Linux program in a bare micro-VM and shows what it prints.
//
//   usf_runner KERNEL PACK PROGRAM [ARGUMENT ...]     exits as the program does
//   usf_runner --pack OUTPUT DIRECTORY [PREFIX=DIRECTORY]   makes the pack of a root file system
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "vmm/abi/mail.h"
#include "vmm/pack/pack_writer.h"
#include "vmm/pool/kernel_file.h"
#include "vmm/usf/vm.h"

namespace usetl {
namespace {

Vm* g_vm = nullptr;

int Fail(const Status& status) {
  std::fprintf(stderr, "usf_runner: %s\n", status.message().c_str());
  return 125;
}

uint64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

int MakePack(const char* output, const char* directory) {
  pack::PackTree tree;
  Status status = pack::AddDirectory(directory, {}, &tree);
  if (!status.ok()) return Fail(status);
  Result<pack::PackSummary> summary = pack::WritePack(tree, output, {});
  return summary.ok() ? 0 : Fail(summary.status());
}

int Memory(uint64_t size) {
  const int fd = memfd_create("usf-runner", MFD_CLOEXEC);
  return fd >= 0 && ftruncate(fd, static_cast<off_t>(size)) == 0 ? fd : -1;
}

int Run(const char* kernel_path, const char* pack_path, std::vector<std::string> argv) {
  Result<KernelFile> kernel = ReadKernel(kernel_path);
  if (!kernel.ok()) return Fail(kernel.status());
  VmConfig config;
  config.kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  config.host_event_fd = eventfd(0, EFD_CLOEXEC);
  config.memory.control_fd = Memory(abi::kControl.size);
  config.memory.host_region_size = config.memory.guest_region_size = 64 << 20;
  config.memory.host_region_fd = Memory(config.memory.host_region_size);
  config.memory.guest_region_fd = Memory(config.memory.guest_region_size);
  const int pack = open(pack_path, O_RDONLY | O_CLOEXEC);
  if (pack < 0) return Fail(Status::Errno(pack_path));
  config.memory.packs.push_back({pack, static_cast<uint64_t>(lseek(pack, 0, SEEK_END))});
  Result<std::unique_ptr<Vm>> vm = Vm::Create(config);
  if (!vm.ok()) return Fail(vm.status());
  const Status booted = (*vm)->Boot(
      kernel->bytes, argv, {"PATH=/usr/bin", "LANG=C.UTF-8", "HOME=/root", "USETL_GUEST=1"});
  if (!booted.ok()) return Fail(booted);

  // The host's preemption tick, as usf has it; off before the VM goes.
  struct Tick {
    ~Tick() {
      const itimerval off{};
      setitimer(ITIMER_REAL, &off, nullptr);
      signal(SIGALRM, SIG_IGN);
    }
  } tick_off;
  g_vm = vm->get();
  struct sigaction action {};
  action.sa_handler = [](int) { g_vm->Kick(); };
  sigaction(SIGALRM, &action, nullptr);
  const itimerval tick{{0, 4000}, {0, 4000}};
  setitimer(ITIMER_REAL, &tick, nullptr);

  GuestMemory& memory = (*vm)->memory();
  abi::HostPage& host = memory.host_page();
  abi::GuestPage& guest = memory.guest_page();
  abi::RingConsumer output(&host.output, &guest.output, memory.control() + abi::kOutputOffset,
                           abi::kOutputSize);
  for (;;) {
    Result<VmOutcome> outcome = (*vm)->RunUntilEvent();
    if (!outcome.ok()) return Fail(outcome.status());
    while (!output.Empty()) {
      abi::OutputFrame frame;
      if (output.TakeBytes(&frame, sizeof frame) != sizeof frame) break;
      std::string text(frame.size, 0);
      output.TakeBytes(text.data(), frame.size);
      (void)!write(frame.stream == 2 ? 2 : 1, text.data(), text.size());
    }
    switch (outcome->event) {
      case VmEvent::kInterrupted:
        if (guest.runnable > 0 || guest.next_deadline <= Now()) (*vm)->Preempt();
        break;
      case VmEvent::kIdle:
        if (guest.output.waiting != 0) break;  // it waited for the room that it has now
        if (outcome->deadline == ~0ull) return Fail(Status(EDEADLK, "all threads sleep for good"));
        usleep(500);
        break;
      case VmEvent::kExited:
        if (!outcome->report.empty()) std::fprintf(stderr, "%s\n", outcome->report.c_str());
        return (outcome->status & 0x7f) != 0 ? 128 + (outcome->status & 0x7f)
                                             : outcome->status >> 8;
      default:
        return Fail(Status(EIO, "the guest broke: " + outcome->report));
    }
  }
}

}  // namespace
}  // namespace usetl

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "--pack") == 0) return usetl::MakePack(argv[2], argv[3]);
  if (argc < 4) {
    std::fprintf(stderr, "usage: usf_runner KERNEL PACK PROGRAM [ARGUMENT ...]\n");
    return 2;
  }
  return usetl::Run(argv[1], argv[2], {argv + 3, argv + argc});
}
