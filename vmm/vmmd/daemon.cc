#include "vmm/vmmd/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "vmm/pool/tmpfs.h"
#include "vmm/vmmd/environment.h"

namespace usetl {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kAcceptPause{100};

}  // namespace

Result<std::unique_ptr<Vmmd>> Vmmd::Create(VmmdOptions options) {
  std::unique_ptr<Vmmd> daemon(new Vmmd);
  USETL_RETURN_IF_ERROR(daemon->SetUp(std::move(options)));
  return daemon;
}

Status Vmmd::SetUp(VmmdOptions options) {
  options_ = std::move(options);
  constexpr uint64_t kLeastRegion = 8 << 20;
  const uint64_t region = options_.usf.host_region_size;
  if (region % abi::kHugePageSize != 0 || region < kLeastRegion || region > abi::kHostRegion.size) {
    return Status(EINVAL, "--region: want a multiple of 2 MB, from 8 MB to 32 GB");
  }
  if (options_.regions == 0) {
    options_.regions = uint64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) / 2;
  }
  if (region > options_.regions) {
    return Status(EINVAL, "--region: more than the " + std::to_string(options_.regions >> 20) +
                              " MB that all host regions may hold (--regions)");
  }
  if (options_.usf.ram_limit > abi::kRam.size) {
    return Status(EINVAL, "--memory: a function can have " + std::to_string(abi::kRam.size >> 20) +
                              " MB at most");
  }
  kvm_ = Fd(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm_.ok()) return Status::Errno("open /dev/kvm (run usetl doctor)");
  const auto take = [](Result<Fd> from, Fd* to) -> Status {
    if (!from.ok()) return from.status();
    *to = std::move(*from);
    return Status();
  };
  USETL_RETURN_IF_ERROR(take(MakeEmptyRoot(), &empty_root_));
  USETL_RETURN_IF_ERROR(take(MakeEmptyNetwork(), &network_));
  if (options_.usf.huge_pages) {
    // A machine that has no 2 MB pages says so here.
    Fd probe;
    USETL_RETURN_IF_ERROR(take(NewHugeFile(abi::kHugePageSize), &probe));
  }
  Result<Runtime> runtime = OpenRuntime(options_.runtimes, options_.runtime, options_.kernel);
  if (!runtime.ok()) return runtime.status();
  options_.usf.kvm_fd = kvm_.get();
  options_.usf.empty_root_fd = empty_root_.get();
  options_.usf.network_fd = network_.get();

  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.ok()) return Status::Errno("epoll_create1");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return Status::Errno("sigprocmask");
  signals_ = Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.ok()) return Status::Errno("signalfd");
  if (options_.usf.ram_limit < runtime->snapshot.index().ram_size) {
    const std::string least = std::to_string(runtime->snapshot.index().ram_size >> 20);
    return Status(EINVAL, "--memory: a function of runtime '" + options_.runtime +
                              "' has at least " + least + " MB; give --memory " + least +
                              "M or more");
  }
  Result<ipc::Listener> listener = ipc::Listener::Create(options_.socket);
  if (!listener.ok()) return listener.status();
  listener_ = std::move(*listener);
  USETL_RETURN_IF_ERROR(Watch(listener_.get()));
  USETL_RETURN_IF_ERROR(Watch(signals_.get()));

  if (!options_.metrics.empty()) {
    Result<MetricsPort> port = MetricsPort::Open(
        options_.metrics, [this](int fd) { return Watch(fd); }, [this] { return Metrics(); });
    if (!port.ok()) return port.status();
    metrics_ = std::move(*port);
  }

  Result<HomeCgroups> homes = HomeCgroups::Find();
  if (!homes.ok()) return homes.status();
  homes_ = std::move(*homes);
  Result<std::unique_ptr<Reaper>> reaper = Reaper::Create();
  if (!reaper.ok()) return reaper.status();
  reaper_ = std::move(*reaper);
  USETL_RETURN_IF_ERROR(Watch(reaper_->fd()));
  pool_ = NewPool(std::move(*runtime), options_.pool);
  return Status();
}

Status Vmmd::Watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return Status::Errno("epoll_ctl");
  return Status();
}

Status Vmmd::Run() {
  for (;;) {
    epoll_event events[64];
    FollowDemand();
    Pool* const lacking = Lacking();
    const int pause = lacking != nullptr ? RefillPause() : Patience();
    const bool refill = lacking != nullptr && pause == 0;
    const int stays = StayPause();
    const int wait = stays < 0 ? pause : pause < 0 ? stays : std::min(pause, stays);
    const int count = epoll_wait(epoll_.get(), events, 64, wait);
    if (count < 0 && errno != EINTR) return Status::Errno("epoll_wait");
    // But a node whose USFs never cease to talk needs them too.
    constexpr int kBusyLoops = 64;
    busy_loops_ = count > 0 ? busy_loops_ + 1 : 0;
    if (refill && (count <= 0 || busy_loops_ % kBusyLoops == 0)) {
      const Status status = Refill(lacking);
      if (!status.ok()) lacking->launch_error = status.message();
    } else if (count == 0 && lacking == nullptr) {
      for (Pool* pool : Pools()) pool->launch_error.clear();  // try again after a pause
    }
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == signals_.get()) return Status();
      if (fd == listener_.get()) {
        Accept();
      } else if (fd == reaper_->fd()) {
        reaper_->Reap();
      } else if (mover_ != nullptr && fd == mover_->fd()) {
        OnMoved();
      } else if (metrics_ && metrics_->Owns(fd)) {
        const Status status = metrics_->OnReadable(fd);
        if (!status.ok()) PauseAccepting(status);
      } else if (UsfHandle* usf = FindUsf(fd)) {
        OnUsf(usf);
      } else {
        OnConnection(fd);
      }
    }
    if (reaper_->blind()) reaper_->Reap();
    ReplaceStuck();
    ServeWaiting();
    ServeClones();
    ServeStays();
    ResumeAccepting();
  }
}

// Making USFs is work for quiet moments, when nothing else is ready and nobody has just claimed
// one: in a burst of starts it would take the processors from those that start. But not when the
// pool runs dry, or somebody waits. While many are left there is time: where the processors are
// busy, the claims of a burst come with gaps, and each USF that was made in one would widen the
// next. How long to put it off, ms.
int Vmmd::RefillPause() const {
  constexpr std::chrono::milliseconds kQuiet{20}, kQuietWithMany{300};
  constexpr uint32_t kFew = 2, kMany = 16;
  const uint32_t idle = pool_->Count(UsfState::kIdle);
  if (idle <= kFew) return 0;
  for (const auto& [fd, connection] : connections_) {
    if (connection.waiting || connection.clone) return 0;
  }
  const auto quiet = idle > kMany ? kQuietWithMany : kQuiet;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(last_claim_ + quiet - SteadyClock::now());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

// How long to wait for events, ms: something may come to its end without one.
int Vmmd::Patience() const {
  const bool waiting = std::any_of(connections_.begin(), connections_.end(), [](const auto& item) {
    return item.second.waiting || item.second.clone;
  });
  const bool moving = Count(UsfState::kStarting) + Count(UsfState::kRolling) > 0;
  const bool failed =
      std::ranges::any_of(Pools(), [](const Pool* pool) { return !pool->launch_error.empty(); });
  if (waiting || moving || accept_again_ || failed || reaper_->blind()) return 100;
  constexpr int kLook = 5000;  // whether images are gone, or not used any more
  return image_pools_.empty() && old_pools_.empty() ? -1 : kLook;
}

void Vmmd::ReplaceStuck() {
  const auto now = SteadyClock::now();
  for (Pool* pool : Pools()) {
    while (UsfHandle* usf = pool->FindStuck(now)) {
      if (usf->state == UsfState::kStarting) {
        pool->launch_error = "a USF did not become ready in time";
      }
      ++counters_.stuck;
      if (Connection* asked = CloneHolder(usf)) {
        FailClone(asked, Status(ETIMEDOUT, "the function could not be copied in time"));
        continue;
      }
      if (Connection* holder = HolderOf(usf)) AwaitEnd(holder);
      pool->Remove(usf);
    }
  }
}

void Vmmd::Accept() {
  // Never waited for, in either direction: a peer that does not read loses its connection.
  Fd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.ok()) {
    const bool passes = errno == EINTR || errno == EAGAIN || errno == ECONNABORTED;
    if (!passes) PauseAccepting(Status::Errno("accept"));
    return;
  }
  const int fd = socket.get();
  if (!Watch(fd).ok()) return;
  connections_[fd].socket = std::move(socket);
}

void Vmmd::PauseAccepting(const Status& cause) {
  ListenFor(0);
  accept_again_ = SteadyClock::now() + kAcceptPause;
  if (std::exchange(complained_, true)) return;
  std::fprintf(stderr, "usetl-vmmd: %s; connections wait until some are over\n",
               cause.message().c_str());
}

void Vmmd::ResumeAccepting() {
  if (!accept_again_ || SteadyClock::now() < *accept_again_) return;
  accept_again_.reset();
  ListenFor(EPOLLIN);
}

void Vmmd::ListenFor(uint32_t events) {
  for (const int fd : {listener_.get(), metrics_ ? metrics_->listener() : -1}) {
    if (fd < 0) continue;
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  }
}

void Vmmd::Close(int fd) {
  const auto it = connections_.find(fd);
  if (it == connections_.end()) return;
  CloseClones(&it->second);  // which have none
  UsfHandle* usf = it->second.usf;
  UsfHandle* copy = it->second.clone ? it->second.clone->copy : nullptr;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  connections_.erase(it);
  if (copy != nullptr) copy->pool->Remove(copy);
  if (usf != nullptr && usf->state == UsfState::kClaimed) {
    EndStay(usf);
    usf->pool->Release(usf);
  }
}

Vmmd::Connection* Vmmd::HolderOf(const UsfHandle* usf) {
  for (auto& [fd, connection] : connections_) {
    if (connection.usf == usf) return &connection;
  }
  return nullptr;
}

void Vmmd::OnUsf(UsfHandle* usf) {
  Result<ipc::Message> message = ipc::Receive(usf->socket());
  if (!message.ok() && message.status().code() == EAGAIN) return;
  usf::EventRecord event{};
  bool alive = message.ok() && message->bytes.size() >= sizeof event;
  std::string text;
  if (alive) {
    std::memcpy(&event, message->bytes.data(), sizeof event);
    text.assign(message->bytes.begin() + sizeof event, message->bytes.end());
    // One that says what cannot be is not trusted any further.
    if ((event.event == usf::Event::kReady && usf->state != UsfState::kStarting) ||
        (event.event == usf::Event::kRolledBack && usf->state != UsfState::kRolling) ||
        (event.event == usf::Event::kBecame && usf->state != UsfState::kCloning)) {
      alive = false;
      text = "the USF's process broke the protocol";
    }
  }
  if (alive) {
    const Status stayed = CheckStay(usf, event, text);
    if (!stayed.ok()) {
      alive = false;
      text = stayed.message();
    }
  }
  Connection* holder = HolderOf(usf);
  pool::ReplyRecord reply{};
  reply.usf = usf->number();
  const bool gone = !alive || event.event == usf::Event::kFailed;
  if (Connection* asked = CloneHolder(usf); asked != nullptr && gone) {
    ++counters_.lost;
    return FailClone(asked, Status(EIO, "the copy of the function was lost: " + text));
  }
  if (gone && holder != nullptr && holder->clone) {
    FailClone(holder, Status(ESRCH, "the function has ended"));
  }
  if (!gone && event.event == usf::Event::kMissing) return counters_.AddMissing(text);
  if (!gone && event.event == usf::Event::kCopied) {
    if (holder != nullptr) OnCopied(holder, event, text);
    return;
  }
  if (gone && usf->state == UsfState::kStarting) {
    usf->pool->launch_error = text.empty() ? "a USF died while it was prepared" : text;
  }
  if (holder != nullptr) {
    if (gone && (holder->releasing || holder->leaving)) {
      AwaitEnd(holder);
    } else if (gone) {
      reply.reply = pool::Reply::kEnded;
      reply.lost = 1;
      if (text.empty()) text = "the USF's process was killed";
    } else if (event.event == usf::Event::kEnded) {
      reply.reply = pool::Reply::kEnded;
      reply.status = event.status;
    } else if (event.event == usf::Event::kLog) {
      reply.reply = pool::Reply::kLog;
    } else if (event.event == usf::Event::kRolledBack) {
      reply.reply = pool::Reply::kReleased;
      reply.rollback_ns = event.nanoseconds;
      text.clear();
    }
    if (gone || event.event == usf::Event::kRolledBack) {
      holder->usf = nullptr;
      holder->releasing = false;
    }
  }
  const bool became = !gone && event.event == usf::Event::kBecame;
  usf->pool->OnEvent(usf, gone ? nullptr : &event);
  // Behind it: who hears of the end of one that was lost relies on it.
  if (reply.reply != pool::Reply{}) Tell(holder, reply, text);
  if (became) OnBecame(usf);
}

void Vmmd::Tell(Connection* connection, pool::ReplyRecord reply, const std::string& text) {
  reply.text_size = static_cast<uint32_t>(text.size());
  const std::span body(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  const bool sent = ipc::Send(connection->socket.get(), ipc::Bytes(reply), body).ok();
  if (!sent && reply.reply != pool::Reply::kLog) Drop(connection);  // a trace line may be lost
}

// The loop sees its end next, and closes it.
void Vmmd::Drop(Connection* connection) { shutdown(connection->socket.get(), SHUT_RDWR); }

}  // namespace usetl
