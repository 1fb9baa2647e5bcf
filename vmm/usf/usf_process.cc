#include "vmm/usf/usf_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "vmm/snapshot/clone.h"
#include "vmm/usf/clock_page.h"
#include "vmm/usf/jail.h"
#include "vmm/usf/warm_up.h"

namespace usetl {
namespace {

constexpr uint64_t kTickNs = 4'000'000;    // preemption
constexpr uint64_t kCopyTickNs = 200'000;  // while a copy waits for the guest to leave its kernel
constexpr uint64_t kClockRefreshNs = 1'000'000'000;  // of a guest that does not pause
constexpr uint32_t kMaxTraceLines = 20'000;          // of a run

Vm* g_vm = nullptr;  // for the signal handler
timer_t g_tick;

void KickVm(int) {
  if (g_vm != nullptr) g_vm->Kick();
}

uint64_t Now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec now;
  clock_gettime(clock, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

Status InstallSignals() {
  struct sigaction action {};
  action.sa_handler = KickVm;
  // No SA_RESTART: KVM_RUN and ppoll return.
  if (sigaction(SIGUSR1, &action, nullptr) != 0 || sigaction(SIGALRM, &action, nullptr) != 0) {
    return Status::Errno("sigaction");
  }
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGALRM;
  if (timer_create(CLOCK_MONOTONIC, &event, &g_tick) != 0) return Status::Errno("timer_create");
  return Status();
}

// 0: none.
void SetTick(uint64_t period) {
  itimerspec spec{};
  spec.it_value.tv_nsec = spec.it_interval.tv_nsec = static_cast<long>(period);
  timer_settime(g_tick, 0, &spec, nullptr);
}

Result<Mapping> MapShared(const Fd& fd, uint64_t size, int protection) {
  void* at = mmap(nullptr, size, protection, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) return Status::Errno("mapping a clone's memory");
  return Mapping(at, size);
}

}  // namespace

int UsfProcess::Run() {
  Status status = Start();
  if (status.ok()) {
    usf::EventRecord ready{};
    ready.event = usf::Event::kReady;
    ready.usable = 1;
    status = SendEvent(ready);
  }
  if (status.ok()) status = Serve();
  if (status.ok()) return 0;
  usf::EventRecord failed{};
  failed.event = usf::Event::kFailed;
  // The peer may be gone already; there is nobody else to tell.
  (void)!SendEvent(failed, status.message()).ok();
  return 1;
}

Status UsfProcess::SendEvent(usf::EventRecord record, std::string_view text) {
  text = text.substr(0, usf::kMaxText);
  record.text_size = static_cast<uint32_t>(text.size());
  if (vm_ != nullptr) {
    record.exits = vm_->exits;
    record.mapping_calls = vm_->mapping_calls;
  }
  record.cpu_ns = Now(CLOCK_PROCESS_CPUTIME_ID);
  return ipc::Send(socket_, ipc::Bytes(record),
                   {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

Status UsfProcess::SendMissing() {
  const abi::GuestPage& guest = vm_->memory().guest_page();
  if (guest.unimplemented == 0) return Status();
  std::vector<usf::MissingCalls> calls;
  for (uint32_t number = 0; number < std::size(guest.unimplemented_by_number); ++number) {
    const uint32_t times = guest.unimplemented_by_number[number];
    if (times != 0) calls.push_back({number, times});
  }
  usf::EventRecord record{};
  record.event = usf::Event::kMissing;
  return SendEvent(record, {reinterpret_cast<const char*>(calls.data()),
                            calls.size() * sizeof(usf::MissingCalls)});
}

void UsfProcess::SendTrace(std::string_view line) {
  if (trace_lines_ > kMaxTraceLines) return;
  if (trace_lines_++ == kMaxTraceLines) line = "the trace of this run ends here: too many lines";
  usf::EventRecord record{};
  record.event = usf::Event::kLog;
  (void)!SendEvent(record, line).ok();  // a trace line that is lost harms nobody
}

Status UsfProcess::Start() {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return Status::Errno("PR_SET_PDEATHSIG");
  Result<ipc::Message> message = ipc::Receive(socket_);
  if (!message.ok()) return message.status();
  if (message->bytes.size() != sizeof start_ || message->fds.size() < usf::kStartFdCount) {
    return Status(EPROTO, "vmmd sent a malformed start command");
  }
  std::memcpy(&start_, message->bytes.data(), sizeof start_);
  std::vector<int> fds;
  for (Fd& fd : message->fds) fds.push_back(fd.Release());

  Result<Snapshot> snapshot = Snapshot::Adopt(fds[usf::kSnapshotFd]);
  if (!snapshot.ok()) return snapshot.status();
  snapshot_ = std::make_unique<Snapshot>(std::move(*snapshot));
  VmConfig config;
  config.kvm_fd = fds[usf::kKvmFd];
  config.host_event_fd = fds[usf::kHostEventFd];
  config.spin_ns = start_.spin_ns;
  config.trace = start_.trace;
  config.memory.control_fd = fds[usf::kControlFd];
  config.memory.host_region_fd = fds[usf::kHostRegionFd];
  config.memory.guest_region_fd = fds[usf::kGuestRegionFd];
  config.memory.host_region_size = start_.host_region_size;
  config.memory.guest_region_size = start_.guest_region_size;
  config.memory.ram_limit = start_.ram_limit;
  for (size_t i = usf::kStartFdCount; i < fds.size(); ++i) {
    const off_t size = lseek(fds[i], 0, SEEK_END);
    if (size <= 0) return Status(EINVAL, "a pack is empty");
    config.memory.packs.push_back({fds[i], static_cast<uint64_t>(size)});
  }
  Result<std::unique_ptr<Vm>> vm = snapshot_->Start(config);
  if (!vm.ok()) return vm.status();
  vm_ = std::move(*vm);
  // Any guest may log, without end: vmmd shall not have to listen.
  if (start_.trace != 0) vm_->log = [this](std::string_view line) { SendTrace(line); };
  rollback_ = std::make_unique<Rollback>(snapshot_.get(), vm_.get());
  guest_event_fd_ = fds[usf::kGuestEventFd];
  for (size_t i = 0; i < fds.size(); ++i) {
    const bool proof = start_.verify && (i == usf::kHostRegionFd || i == usf::kGuestRegionFd);
    const bool kept = i == usf::kSnapshotFd || i == usf::kGuestEventFd || i == usf::kEmptyRootFd ||
                      i == usf::kNetworkFd || proof;
    if (!kept) close(fds[i]);  // mapped or bound: the descriptor is not needed again
  }
  g_vm = vm_.get();
  USETL_RETURN_IF_ERROR(InstallSignals());
  // The first entry makes KVM start a kernel thread on behalf of this process, which the jail's
  // RLIMIT_NPROC would refuse (EAGAIN from every KVM_RUN).
  USETL_RETURN_IF_ERROR(vm_->machine().CompleteExit());
  if (start_.jail) {
    USETL_RETURN_IF_ERROR(EnterJail({start_.uid, fds[usf::kEmptyRootFd], fds[usf::kNetworkFd]}));
  }
  USETL_RETURN_IF_ERROR(NewGeneration(&vm_->memory().host_page(), vm_->tsc_khz()));
  USETL_RETURN_IF_ERROR(WarmUp(vm_.get(), rollback_.get(), start_.warm));
  idle_ = true;
  return Status();
}

Status UsfProcess::Serve() {
  for (;;) {
    const bool can_run = !idle_ && !ended_ && !crashed_;
    const Status status = can_run ? RunGuest() : WaitWhileIdle();
    if (status.code() == ECONNRESET) return Status();  // vmmd lets this USF go
    if (!status.ok()) return status;
  }
}

Status UsfProcess::RunGuest() {
  SetTick(copy_out_.empty() ? kTickNs : kCopyTickNs);
  for (;;) {
    Result<VmOutcome> outcome = vm_->RunUntilEvent();
    if (!outcome.ok()) return outcome.status();
    switch (outcome->event) {
      case VmEvent::kIdle:
        SetTick(0);
        idle_ = true;
        deadline_ = outcome->deadline;
        return copy_out_.empty() ? Status() : CopyOut();
      case VmEvent::kInterrupted: {
        if (!copy_out_.empty() && !vm_->InKernel()) {
          SetTick(0);
          return CopyOut();
        }
        pollfd command{socket_, POLLIN, 0};
        const timespec now{};
        if (ppoll(&command, 1, &now, nullptr) > 0) {
          SetTick(0);
          return ServeCommand();
        }
        Tick();
        continue;
      }
      case VmEvent::kReady:
      case VmEvent::kExited:
      case VmEvent::kCrashed: {
        SetTick(0);
        usf::EventRecord record{};
        record.event = usf::Event::kEnded;
        USETL_RETURN_IF_ERROR(SendMissing());
        record.status = outcome->status;
        crashed_ = outcome->event != VmEvent::kExited;
        ended_ = true;
        record.usable = !crashed_ && !clone_;
        if (crashed_) record.status = SIGSEGV;
        USETL_RETURN_IF_ERROR(SendEvent(record, outcome->report));
        return copy_out_.empty() ? Status() : CopyOut();
      }
    }
  }
}

void UsfProcess::Tick() {
  const abi::GuestPage& guest = vm_->memory().guest_page();
  const abi::HostPage& host = vm_->memory().host_page();
  const bool mail = abi::LoadAcquire(host.to_guest.index) != guest.to_guest.index;
  if (guest.runnable > 0 || mail || guest.next_deadline <= GuestMonotonic(host)) vm_->Preempt();
  if (const uint64_t now = Now(); now - clock_refreshed_ >= kClockRefreshNs) {
    RefreshClock(&vm_->memory().host_page(), vm_->tsc_khz());
    clock_refreshed_ = now;
  }
}

Status UsfProcess::WaitWhileIdle() {
  pollfd fds[2] = {{socket_, POLLIN, 0}, {guest_event_fd_, POLLIN, 0}};
  const bool timed = idle_ && deadline_ != ~0ull;
  const abi::HostPage& host = vm_->memory().host_page();
  const uint64_t now = timed ? GuestMonotonic(host) : 0;
  const uint64_t wait = timed && deadline_ > now ? deadline_ - now : 0;
  const timespec timeout{static_cast<time_t>(wait / 1'000'000'000),
                         static_cast<long>(wait % 1'000'000'000)};
  const int ready = ppoll(fds, ended_ ? 1 : 2, timed ? &timeout : nullptr, nullptr);
  if (ready < 0 && errno != EINTR) return Status::Errno("ppoll");
  if (ready > 0 && (fds[0].revents != 0)) return ServeCommand();
  if (ready > 0 && (fds[1].revents & POLLIN)) {
    uint64_t count;
    if (read(guest_event_fd_, &count, sizeof count) < 0 && errno != EAGAIN) {
      return Status::Errno("read of an eventfd");
    }
    idle_ = false;
  }
  if (timed && GuestMonotonic(host) >= deadline_) idle_ = false;
  if (!idle_) RefreshClock(&vm_->memory().host_page(), vm_->tsc_khz());
  return Status();
}

Status UsfProcess::ServeCommand() {
  Result<ipc::Message> message = ipc::Receive(socket_);
  if (!message.ok()) return message.status();
  usf::PlainCommand command{};
  std::memcpy(&command, message->bytes.data(), std::min(message->bytes.size(), sizeof command));
  if (command.command == usf::Command::kMapPacks) return MapPacks(*message);
  if (message->bytes.size() != sizeof command) {
    return Status(EPROTO, "vmmd sent a malformed command");
  }
  switch (command.command) {
    case usf::Command::kRollback:
      return RollBack();
    case usf::Command::kCopyOut:
      return TakeCopyOut(command.order, std::move(message->fds));
    case usf::Command::kBecome:
      return Become(std::move(message->fds));
    case usf::Command::kMove:
      return Move(command.order, message->fds);
    case usf::Command::kStart:
    case usf::Command::kMapPacks:
      break;
  }
  return Status(EPROTO, "vmmd sent an unknown command");
}

Status UsfProcess::TakeCopyOut(uint32_t order, std::vector<Fd> fds) {
  if (fds.size() != usf::kCopyOutFdCount) {
    return Status(EPROTO, "vmmd sent a malformed command");
  }
  copy_out_ = std::move(fds);  // one before it was given up
  copy_order_ = order;
  return idle_ || ended_ || !vm_->InKernel() ? CopyOut() : Status();
}

Status UsfProcess::CopyOut() {
  const std::vector<Fd> fds = std::exchange(copy_out_, {});
  usf::EventRecord record{};
  record.event = usf::Event::kCopied;
  record.order = copy_order_;
  const uint64_t region_size = vm_->memory().config().guest_region_size;
  Result<Mapping> image = MapShared(fds[usf::kImageOut], kCloneImageSize, PROT_READ | PROT_WRITE);
  Result<Mapping> region = MapShared(fds[usf::kRegionOut], region_size, PROT_READ | PROT_WRITE);
  Status status = !image.ok() ? image.status() : region.status();
  if (status.ok() && ended_) status = Status(ESRCH, "the function has ended");
  if (status.ok()) {
    status =
        WriteClone(vm_.get(), {image->data(), image->size()}, {region->data(), region->size()});
  }
  record.status = status.code();
  return SendEvent(record, status.message());
}

Status UsfProcess::Become(std::vector<Fd> fds) {
  if (fds.size() != usf::kBecomeFdCount || !idle_ || ended_ || crashed_) {
    return Status(EPROTO, "vmmd sent a malformed command");
  }
  Result<Mapping> image = MapShared(fds[usf::kImageIn], kCloneImageSize, PROT_READ);
  if (!image.ok()) return image.status();
  USETL_RETURN_IF_ERROR(vm_->memory().ReplaceHostRegion(fds[usf::kSharedRegionIn].get()));
  USETL_RETURN_IF_ERROR(BecomeClone(vm_.get(), rollback_.get(), {image->data(), image->size()}));
  clone_ = true;
  deadline_ = ~0ull;  // until the worker rings
  usf::EventRecord record{};
  record.event = usf::Event::kBecame;
  return SendEvent(record);
}

Status UsfProcess::Move(uint32_t order, const std::vector<Fd>& files) {
  usf::EventRecord record{};
  record.event = usf::Event::kMoved;
  record.order = order;
  Status status;
  for (const Fd& file : files) {
    // 0: whoever writes.
    if (write(file.get(), "0", 1) != 1 && status.ok()) status = Status::Errno("entering a cgroup");
  }
  record.status = status.code();
  return SendEvent(record, status.message());
}

Status UsfProcess::MapPacks(const ipc::Message& message) {
  usf::MapPacksCommand command;
  if (message.bytes.size() != sizeof command || !idle_ || ended_ || crashed_ || clone_) {
    return Status(EPROTO, "vmmd sent a malformed command");
  }
  std::memcpy(&command, message.bytes.data(), sizeof command);
  if (command.count > abi::kMaxImagePacks || message.fds.size() != command.count) {
    return Status(EPROTO, "vmmd sent a malformed command");
  }
  std::vector<MemoryConfig::Pack> packs;
  for (uint32_t i = 0; i < command.count; ++i) {
    packs.push_back({message.fds[i].get(), command.sizes[i]});
  }
  return vm_->MapImagePacks(packs);
}

Status UsfProcess::RollBack() {
  if (crashed_ || clone_) return Status(EIO, "a crashed USF or a clone cannot be rolled back");
  copy_out_.clear();
  if (!ended_) USETL_RETURN_IF_ERROR(SendMissing());
  const uint64_t begin = Now();
  Result<RollbackStats> stats = rollback_->Run();
  if (!stats.ok()) return stats.status();
  usf::EventRecord record{};
  record.event = usf::Event::kRolledBack;
  record.nanoseconds = Now() - begin;
  record.hot_pages = stats->hot;
  record.cold_pages = stats->cold;
  record.usable = !vm_->memory().grown();
  std::string difference;
  if (start_.verify) {
    Result<std::string> found = rollback_->Verify();
    if (!found.ok()) return found.status();
    difference = *found;
    if (!difference.empty()) return Status(EIO, "after a rollback these differ:" + difference);
  }
  ended_ = false;
  trace_lines_ = 0;
  // The agent reseeds and waits for its load before the next function comes.
  USETL_RETURN_IF_ERROR(RunUntilIdle(vm_.get()));
  idle_ = true;
  deadline_ = ~0ull;
  const Status sent = SendEvent(record);
  vm_->exits = vm_->mapping_calls = 0;
  return sent;
}

}  // namespace usetl
