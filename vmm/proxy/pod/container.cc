#include "vmm/proxy/pod/container.h"

#include <immintrin.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "vmm/proxy/pod/contents.h"
#include "vmm/proxy/worker/guest_rings.h"

namespace usetl::pod {
namespace {

constexpr uint32_t kBusyTurns = 16;  // without a look at the descriptors
constexpr int kCongestedMs = 10;
constexpr std::chrono::microseconds kShortPoll{80};
constexpr int kSoon = 2;  // times the poll
// How long the end of a container waits for the disks of its log and mounts.
constexpr std::chrono::seconds kDiskPatience{5};

uint64_t ReadClock(clockid_t clock) {
  timespec now;
  if (clock_gettime(clock, &now) != 0) return 0;  // the process is gone
  return uint64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

// Of a start, for its user.
std::string Explain(const Status& status) {
  if (status.code() != EADDRINUSE) return status.message();
  return status.message() +
         " by another container of the pod; name another port as containerPort or in PORT";
}

}  // namespace

Container::Container(Fd usetld, Join join, MountService mount_service, Fd vmmd,
                     etl::ObjectStore objects)
    : vmmd_(std::move(vmmd)),
      objects_(std::move(objects)),
      cgroups_(std::move(join.cgroups)),
      usf_cgroups_(std::move(join.usf_cgroups)),
      usf_charged_(!usf_cgroups_.empty()),
      oom_score_(join.oom_score),
      mount_service_(std::move(mount_service)),
      mounted_directories_(static_cast<uint32_t>(join.directories.size())),
      control_(std::move(usetld), std::move(join.control), std::move(join.exit_file),
               {[this](uint32_t grace_ms) { OnStop(grace_ms); },
                [this](Fd log) {
                  if (log_ != nullptr) log_->Reopen(std::move(log));
                },
                [this](Fd page) {
                  const Status taken = counts_page_.Take(page, Counted());
                  if (!taken.ok()) {
                    std::fprintf(stderr, "usetl-proxy: container %s: %s\n", id_.c_str(),
                                 taken.message().c_str());
                  }
                },
                [this](const UpdateMountRecord& record, std::vector<Fd> fds) {
                  OnUpdateMount(record, std::move(fds));
                },
                [this](const ExecRecord& record, std::string_view text, std::vector<Fd> fds) {
                  OnExec(record, text, std::move(fds));
                }}) {}

uint64_t Container::UsfCpuNs() const {
  // clock_getcpuclockid(3) without the system call by which that checks the number.
  constexpr clockid_t kScheduled = 2;
  if (link_ == nullptr || link_->usf_pid() <= 0) return 0;
  return ReadClock(static_cast<clockid_t>(~static_cast<uint32_t>(link_->usf_pid()) << 3) |
                   kScheduled);
}

void Container::Run(Result<ipc::Message> start) {
  Status status = start.ok() ? Start(std::move(*start)) : start.status();
  if (status.ok()) status = Loop();
  if (!status.ok() && !outcome_) {
    const std::string text = loaded_ ? status.message() : Explain(status);
    outcome_ = Killed(SIGKILL, Reason::kError, text);
    outcome_->report = "usetl: " + text;
  }
  if (loaded_) return TellEnd();
  if (log_ != nullptr) {
    TakeLastOutput();
    if (!outcome_->report.empty()) Say(outcome_->report);
    log_->Finish(kDiskPatience);
  }
  if (outcome_->text.empty()) outcome_->text = "the function ended while it was loaded";
  control_.WriteFailed(outcome_->reason, outcome_->text);
  GiveBackUsf();
  control_.TellFailed(status.ok() ? ECHILD : status.code(), outcome_->text);
}

void Container::End(Outcome outcome) {
  if (!outcome_) outcome_ = std::move(outcome);
}

Status Container::Loop() {
  for (uint32_t busy_turns = 0; !outcome_;) {
    bool progress = false;
    awaits_answer_ = false;
    USETL_RETURN_IF_ERROR(DrainGuest(&progress));
    CheckDeadlines();
    if (outcome_) break;
    if (invoker_ != nullptr) invoker_->Turn();
    PostStop();
    AnswerMounts();
    const bool congested = EtlCongested() || log_->Congested() || FrontCongested();
    TurnExecs();
    const bool execs_wait = std::ranges::all_of(execs_, &Exec::PrepareWait);
    bool busy = progress || !execs_wait;
    if (!busy && !congested) busy = AwaitAnswer() || !link_->PrepareWait();
    if (busy && ++busy_turns % kBusyTurns != 0) continue;
    const auto begin = Clock::now();
    USETL_RETURN_IF_ERROR(Wait(busy ? 0 : congested ? kCongestedMs : -1));
    if (awaits_answer_) answered_soon_ = Clock::now() - begin < kSoon * kShortPoll;
  }
  return Status();
}

// A wake-up takes longer than many functions. Where answers take longer, or the processors are
// busy, it would take time from whoever is to give them.
bool Container::AwaitAnswer() {
  awaits_answer_ = invoker_ != nullptr && !invoker_->idle();
  if (!awaits_answer_ || !answered_soon_) return false;
  const auto end = Clock::now() + kShortPoll;
  do {
    for (int i = 0; i < 32; ++i) {
      if (link_->HasMail()) return true;
      _mm_pause();
    }
    sched_yield();  // the micro-VM may be waiting for this very processor
  } while (Clock::now() < end);
  return false;
}

Status Container::Wait(int most_ms) {
  PublishCounts();
  std::vector<pollfd> fds = {{link_->event_fd(), POLLIN, 0},
                             {link_->vmmd_fd(), POLLIN, 0},
                             {control_.connection_fd(), POLLIN, 0},
                             {control_.listener_fd(), POLLIN, 0},
                             {etl_ == nullptr ? -1 : etl_->poll_fd(), POLLIN, 0},
                             {front_ == nullptr ? -1 : front_->poll_fd(), POLLIN, 0},
                             {mounts_->service_fd(), POLLIN, 0}};
  for (const auto& exec : execs_) exec->AddTo(&fds);
  for (const Attachment& attachment : attachments_) attachment.AddTo(&fds);
  int timeout = most_ms;
  if (const auto deadline = NextDeadline()) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(*deadline - Clock::now()).count() + 1;
    const int bounded = static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
    timeout = timeout < 0 ? bounded : std::min(timeout, bounded);
  }
  const int ready = poll(fds.data(), fds.size(), timeout);
  link_->EndWait(ready > 0 && fds[0].revents != 0);
  if (ready < 0 && errno != EINTR) return Status::Errno("poll");
  if (ready <= 0) return Status();
  if (fds[6].revents != 0) mounts_->OnService();
  if (fds[5].revents != 0) front_->OnReady();
  if (fds[4].revents != 0) etl_->OnReady();
  if (fds[2].revents != 0) control_.OnConnection();
  if (fds[3].revents != 0) control_.OnListener();
  return fds[1].revents != 0 ? OnVmmd() : Status();
}

std::optional<Container::Clock::time_point> Container::NextDeadline() const {
  std::optional<Clock::time_point> next;
  const auto consider = [&](const std::optional<Clock::time_point>& time) {
    if (time && (!next || *time < *next)) next = time;
  };
  consider(start_deadline_);
  consider(stop_deadline_);
  if (invoker_ != nullptr) consider(invoker_->deadline());
  return next;
}

void Container::CheckDeadlines() {
  if (outcome_) return;
  const auto now = Clock::now();
  if (stop_deadline_ && now >= *stop_deadline_) {
    End(Killed(SIGKILL, Reason::kError,
               grace_ms_ == 0 ? "killed"
                              : "killed: it did not end within " + std::to_string(grace_ms_) +
                                    " ms after it was asked to"));
  } else if (start_deadline_ && now >= *start_deadline_) {
    End(Killed(SIGKILL, Reason::kError, "the function was not loaded in time"));
    outcome_->report = "usetl: " + outcome_->text;
  } else if (invoker_ != nullptr && invoker_->deadline() && now >= *invoker_->deadline()) {
    // A USF whose function hangs cannot go on.
    const std::string text =
        "a request took longer than " + std::to_string(invoker_options_.timeout.count()) + " ms";
    invoker_->Abandon(Status(ETIMEDOUT, text), false);
    End(Killed(SIGKILL, Reason::kError, text));
    outcome_->report = "usetl: " + text + "; the function was killed";
  }
}

void Container::Say(std::string_view text) {
  log_->Add(2, text);
  if (!text.ends_with('\n')) log_->Add(2, "\n");
}

Status Container::EnsureEtl() {
  if (etl_ != nullptr) return Status();
  etl::EtlProxyOptions options;
  options.policy = policy_;
  options.objects = objects_;
  options.names = names_;
  options.audit = [this](const etl::AuditEvent& event) {
    Say("usetl: " + event.method + " " + event.url + ": " + event.cause);
  };
  Result<std::unique_ptr<etl::EtlProxy>> proxy = etl::EtlProxy::Create(
      std::move(options), &link_->region(), &link_->guest_region(),
      [this](abi::RecordType type, uint64_t id, std::span<const uint8_t> head,
             std::span<const uint8_t> tail) { return link_->Post(type, id, head, tail); });
  if (!proxy.ok()) return proxy.status();
  etl_ = std::move(*proxy);
  return Status();
}

Status Container::DrainOutput() {
  return usetl::DrainOutput(
      link_.get(), &output_, {output_piece_.get(), kOutputPiece},
      [this] { return !log_->Congested(); },
      [this](uint32_t stream, auto bytes) { ShowOutput(stream, bytes); });
}

Status Container::DrainGuest(bool* progress) {
  const auto ready = [this] {
    // At the end the ring is all that comes.
    if (outcome_ || (!draining_ && FrontCongested())) return false;
    // Its answers wait for room in the ring: no more requests until the guest has read some.
    if (EtlCongested()) etl_->OnRingRoom();
    return draining_ || !EtlCongested();
  };
  return DrainRecords(
      link_.get(), progress, ready, [this] { return DrainOutput(); },
      [this](const auto& header, auto payload) { return OnRecord(header, payload); });
}

// Answers of a function that has ended: their clients shall not ask again for what was done.
Status Container::TakeLastRecords() {
  draining_ = true;
  if (invoker_ != nullptr) invoker_->GiveNothing();
  return DrainLastRecords([this](bool* some) { return DrainGuest(some); });
}

Status Container::OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload) {
  const auto type = static_cast<abi::RecordType>(header.type);
  if (type == abi::RecordType::kMountChange) {
    return mounts_->OnChange(&mount_asker_, header.id, payload);
  }
  abi::HostRegionEntry released;
  if (type == abi::RecordType::kRelease && payload.size() == sizeof released) {
    std::memcpy(&released, payload.data(), sizeof released);
    if (mounts_->OnRelease(&mount_asker_, released.entry)) return Status();
  }
  if (type == abi::RecordType::kMountClose) {
    abi::MountClose close;
    if (payload.size() != sizeof close) return Status(EPROTO, "the close of a file: wrong size");
    std::memcpy(&close, payload.data(), sizeof close);
    mounts_->OnClose(&mount_asker_, close.handle);
    return Status();
  }
  const bool loading = type == abi::RecordType::kLoaded;
  if (loading ? loaded_ : !loaded_ && type == abi::RecordType::kResult) {
    return Status(EPROTO, "the guest answered what nobody asked");
  }
  if (loading || (type == abi::RecordType::kResult && script_)) {
    Result<Reply> reply =
        ParseReply({reinterpret_cast<const char*>(payload.data()), payload.size()});
    if (!reply.ok()) return reply.status();
    if (loading) return OnLoaded(*reply);
    End(OfScript(*reply, link_->DescribeMemoryLimit(kMemoryRemedy)));
    return Status();
  }
  if (type == abi::RecordType::kResult || type == abi::RecordType::kAnswerHead ||
      type == abi::RecordType::kAnswerData || type == abi::RecordType::kBodyTaken) {
    if (invoker_ == nullptr) return Status(EPROTO, "the guest answered what nobody asked");
    return invoker_->OnRecord(type, header.id, payload);
  }
  USETL_RETURN_IF_ERROR(EnsureEtl());
  return etl_->OnRecord(header, payload);
}

Status Container::OnVmmd() {
  Result<ipc::Message> message = link_->ReceiveFromVmmd();
  if (!message.ok()) {
    USETL_RETURN_IF_ERROR(TakeLastRecords());  // the function may be running yet
    End(Lost("usetl-vmmd left while the function ran"));
    return Status();
  }
  pool::ReplyRecord reply;
  if (message->bytes.size() < sizeof reply) return Status(EPROTO, "usetl-vmmd: short message");
  std::memcpy(&reply, message->bytes.data(), sizeof reply);
  const std::string text(message->bytes.begin() + sizeof reply, message->bytes.end());
  if (reply.reply == pool::Reply::kLog) {
    std::fprintf(stderr, "usetl-proxy: container %s: %s\n", id_.c_str(), text.c_str());
  }
  if (reply.reply == pool::Reply::kCloned) OnCloned(std::move(*message));
  if (reply.reply != pool::Reply::kEnded) return Status();
  USETL_RETURN_IF_ERROR(TakeLastRecords());
  drained_ = true;
  End(OfEnded(reply, text, stopping_));
  return Status();
}

void Container::OnUpdateMount(const UpdateMountRecord& record, std::vector<Fd> fds) {
  if (!loaded_ || outcome_) return;
  const Result<StartRequest> request = ReadMountUpdate(record.json_size, std::move(fds));
  const Status status = request.ok() ? UpdateMount(*request, &link_->region()) : request.status();
  if (!status.ok()) Say("usetl: updating a mount: " + status.message());
}

void Container::AnswerMounts() {
  mounts_->Answer(&mount_asker_, [this](uint64_t id, std::span<const uint8_t> answer) {
    return link_->Post(abi::RecordType::kMountDone, id, answer);
  });
}

void Container::OnStop(uint32_t grace_ms) {
  stopping_ = true;
  grace_ms_ = grace_ms;
  stop_deadline_ = Clock::now() + std::chrono::milliseconds(grace_ms);
  if (front_ != nullptr) front_->Drain(std::chrono::milliseconds(grace_ms));
  ports_.Close();
  if (invoker_ != nullptr) invoker_->Close();
}

void Container::PostStop() {
  if (!stopping_ || stop_posted_ || (invoker_ != nullptr && !invoker_->idle())) return;
  stop_posted_ = link_->Post(abi::RecordType::kStop, 0, {});
}

// The ring holds what was printed before the end; a guest that still prints gets no further turn.
void Container::TakeLastOutput() {
  if (link_ == nullptr) return;
  const auto end = Clock::now() + kDiskPatience;
  while (log_->Congested() && Clock::now() < end) poll(nullptr, 0, kCongestedMs);
  const Status drained = DrainOutput();
  if (!drained.ok()) Say("usetl: " + drained.message());
}

void Container::GiveBackUsf() {
  mounts_.reset();
  if (usf_charged_ && link_ != nullptr) {
    // Who hears of the end may kill whatever is in the cgroups.
    const Status left = link_->Leave();
    // USFs end with usetl-vmmd.
    const bool gone = left.code() == EPIPE || left.code() == ECONNRESET;
    if (!left.ok() && !gone) {
      std::fprintf(stderr, "usetl-proxy: container %s: %s\n", id_.c_str(), left.message().c_str());
    }
  }
  link_.reset();
}

void Container::TellEnd() {
  TakeLastOutput();
  if (!outcome_->report.empty()) Say(outcome_->report);
  const bool written = log_->Finish(kDiskPatience);
  ExitRecord record{};
  record.code = outcome_->code;
  record.reason = outcome_->reason;
  const uint64_t usf_cpu = UsfCpuNs();
  record.cpu_ns = ReadClock(CLOCK_PROCESS_CPUTIME_ID) +
                  (usf_cpu > usf_cpu_before_ ? usf_cpu - usf_cpu_before_ : 0);
  record.lines_lost = log_->lines_lost();
  if (!written && outcome_->text.empty()) outcome_->text = "the log's disk hangs";
  execs_.clear();
  for (Attachment& attachment : attachments_) attachment.End(outcome_->code);
  // The USF is on its way back before anybody hears of the end.
  if (invoker_ != nullptr) {
    invoker_->Abandon(Status(ECANCELED, "the container has ended"), drained_);
    PublishCounts();
    front_.reset();
    invoker_.reset();
  } else {
    PublishCounts();
  }
  etl_.reset();
  if (!mounts_->Finish(mount_asker_, kDiskPatience) && outcome_->text.empty()) {
    outcome_->text = "the disk of a mount hangs";
  }
  control_.WriteExited(record, outcome_->text);
  GiveBackUsf();
  control_.TellExited();
}

}  // namespace usetl::pod
