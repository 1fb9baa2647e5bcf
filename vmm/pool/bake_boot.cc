#include "vmm/pool/bake_boot.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "vmm/abi/mail.h"
#include "vmm/ipc/socket.h"
#include "vmm/usf/jail.h"
#include "vmm/vmmd/environment.h"

namespace usetl {
namespace {

using Clock = std::chrono::steady_clock;

// Each has a user of its own, as its process has a number: behind those of USFs and of workers.
constexpr uint32_t kFirstUid = 800'000;

// What the child says in the end, with the snapshot's file when `error` is 0.
struct Answer {
  int32_t error;
  uint32_t text_size;
  uint64_t exits;
};

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

// The text of the frames of an output ring, cleaned of what moves a terminal.
std::string TextOf(std::string_view frames) {
  std::string text;
  abi::OutputFrame frame;
  while (frames.size() >= sizeof frame) {
    std::memcpy(&frame, frames.data(), sizeof frame);
    frames.remove_prefix(sizeof frame);
    text += frames.substr(0, frame.size);
    frames.remove_prefix(std::min<size_t>(frame.size, frames.size()));
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n') c = ' ';
  }
  return text;
}

// Runs the guest until READY. What it says meanwhile is shown when it fails.
Status BootToReady(Vm* vm, uint32_t trace) {
  abi::HostPage& host = vm->memory().host_page();
  abi::GuestPage& guest = vm->memory().guest_page();
  abi::RingConsumer output(&host.output, &guest.output, vm->memory().control() + abi::kOutputOffset,
                           abi::kOutputSize);
  std::string said;
  if (trace != 0) {
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
      std::string why = outcome->report;
      if (why.empty()) why = "its Python ended";
      if (over) why = "30 s have passed";
      return Status(ECHILD, "the runtime did not become ready: " + why +
                                (said.empty() ? "" : "\nit said:\n" + TextOf(said)));
    }
    if (outcome->event == VmEvent::kIdle && outcome->deadline != ~0ull) {
      timespec pause{0, 200'000};
      nanosleep(&pause, nullptr);
    }
  }
}

// The window and regions of the one that is baked; they are gone with it.
struct Memory {
  Fd control, host_region, guest_region;
};

Result<Memory> NewMemory(VmConfig* config) {
  constexpr uint64_t kRegion = 4 << 20;
  Memory memory{Fd(memfd_create("usetl-control", MFD_CLOEXEC)),
                Fd(memfd_create("usetl-region", MFD_CLOEXEC)),
                Fd(memfd_create("usetl-region", MFD_CLOEXEC))};
  if (ftruncate(memory.control.get(), abi::kControl.size) != 0 ||
      ftruncate(memory.host_region.get(), kRegion) != 0 ||
      ftruncate(memory.guest_region.get(), kRegion) != 0) {
    return Status::Errno("memory for a micro-VM");
  }
  config->memory.control_fd = memory.control.get();
  config->memory.host_region_fd = memory.host_region.get();
  config->memory.host_region_size = kRegion;
  config->memory.guest_region_fd = memory.guest_region.get();
  config->memory.guest_region_size = kRegion;
  return memory;
}

Result<Booted> BootHere(const BootOrder& order) {
  VmConfig config;
  const Fd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm.ok()) return Status::Errno("open /dev/kvm (run usetl doctor)");
  const Fd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!pagemap.ok()) return Status::Errno("open /proc/self/pagemap");
  Result<Fd> root = MakeEmptyRoot(), network = MakeEmptyNetwork();
  if (!root.ok()) return root.status();
  if (!network.ok()) return network.status();
  config.kvm_fd = kvm.get();
  config.trace = order.trace;
  config.memory.packs = order.packs;
  Result<Memory> memory = NewMemory(&config);
  if (!memory.ok()) return memory.status();
  Result<std::unique_ptr<Vm>> vm = Vm::Create(config);
  if (!vm.ok()) return vm.status();
  USETL_RETURN_IF_ERROR((*vm)->Boot(order.kernel.bytes, order.arguments, order.environment));
  // As in usf: the first entry starts a kernel thread, which the jail would refuse.
  USETL_RETURN_IF_ERROR((*vm)->machine().CompleteExit());
  const Ticks ticks(vm->get());
  Result<Fd> file = Snapshot::NewFile();
  if (!file.ok()) return file.status();
  *memory = Memory();  // mapped by now; whoever has such a file can make it grow
  USETL_RETURN_IF_ERROR(EnterJail({kFirstUid + static_cast<uint32_t>(getpid()), root->Release(),
                                   network->Release(), JailPurpose::kBake, Snapshot::kMostSize}));
  USETL_RETURN_IF_ERROR(BootToReady(vm->get(), order.trace));
  Result<Snapshot> snapshot = Snapshot::Take(vm->get(), order.digests, order.kernel.digest,
                                             pagemap.get(), std::move(*file));
  if (!snapshot.ok()) return snapshot.status();
  return Booted{std::move(*snapshot), (*vm)->exits};
}

[[noreturn]] void BootInChild(const BootOrder& order, int socket) {
  Result<Booted> booted = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0
                              ? BootHere(order)
                              : Result<Booted>(Status::Errno("PR_SET_PDEATHSIG"));
  const std::string text = booted.status().message().substr(0, ipc::kMaxMessage / 2);
  const Answer answer{booted.status().code(), static_cast<uint32_t>(text.size()),
                      booted.ok() ? booted->exits : 0};
  std::vector<int> fds;
  if (booted.ok()) fds.push_back(booted->snapshot.fd());
  const bool sent = ipc::Send(socket, ipc::Bytes(answer),
                              {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, fds)
                        .ok();
  _exit(sent ? 0 : 1);
}

// The child may be the image's by now: nothing it sends is believed.
Result<Booted> ReadAnswer(int socket) {
  Result<ipc::Message> message = ipc::Receive(socket);
  if (!message.ok()) return Status(ECHILD, "the micro-VM's process was killed");
  Answer answer;
  const Status bad(EPROTO, "the micro-VM's process broke the protocol");
  if (message->bytes.size() < sizeof answer) return bad;
  std::memcpy(&answer, message->bytes.data(), sizeof answer);
  if (answer.error != 0) {
    std::string text(message->bytes.begin() + sizeof answer, message->bytes.end());
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < 0x20 && c != '\n') c = ' ';
    }
    return Status(answer.error, text);
  }
  if (message->fds.size() != 1) return bad;
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  const int seals = fcntl(message->fds[0].get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) return bad;
  Result<Snapshot> snapshot = Snapshot::Adopt(message->fds[0].Release());
  if (!snapshot.ok()) return snapshot.status();
  return Booted{std::move(*snapshot), answer.exits};
}

}  // namespace

Result<Booted> BootToSnapshot(const BootOrder& order) {
  if (geteuid() != 0) return Status(EPERM, "baking needs root, to jail what the image runs");
  Result<std::pair<Fd, Fd>> pair = ipc::Pair();
  if (!pair.ok()) return pair.status();
  const pid_t child = fork();
  if (child < 0) return Status::Errno("fork");
  if (child == 0) {
    pair->first.Reset();
    BootInChild(order, pair->second.get());
  }
  pair->second.Reset();
  Result<Booted> booted = ReadAnswer(pair->first.get());
  kill(child, SIGKILL);  // whatever it still does
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return booted;
}

}  // namespace usetl
