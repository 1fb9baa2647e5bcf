#include "vmm/proxy/etl/curl_loop.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include <algorithm>

namespace usetl::etl {
namespace {

constexpr int kEventsAtOnce = 64;
// A busy peer is read a few times before the caller's loop gets its turn.
constexpr int kRounds = 8;

uint32_t Events(int what) {
  return (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
}

int CurlBits(uint32_t events) {
  return (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
         (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
}

}  // namespace

uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

Result<std::unique_ptr<CurlLoop>> CurlLoop::Create() {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialised != CURLE_OK) return Status(ENOMEM, "libcurl does not start");
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  Fd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll.ok() || !timer.ok()) return Status::Errno("epoll and timer of the ETL proxy");
  epoll_event event{EPOLLIN, {.fd = timer.get()}};
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, timer.get(), &event) != 0) {
    return Status::Errno("epoll_ctl");
  }
  CURLM* multi = curl_multi_init();
  if (multi == nullptr) return Status(ENOMEM, "curl_multi_init");
  return std::unique_ptr<CurlLoop>(new CurlLoop(multi, std::move(epoll), std::move(timer)));
}

CurlLoop::CurlLoop(CURLM* multi, Fd epoll, Fd timer)
    : multi_(multi), epoll_(std::move(epoll)), timer_(std::move(timer)) {
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, OnSocket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, OnTimer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 32L);  // idle ones kept for reuse
}

CurlLoop::~CurlLoop() { curl_multi_cleanup(multi_); }

int CurlLoop::OnSocket(CURL*, curl_socket_t socket, int what, void* self, void* known) {
  auto* loop = static_cast<CurlLoop*>(self);
  const int epoll = loop->epoll_.get();
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nullptr);
    return 0;
  }
  epoll_event event{Events(what), {.fd = socket}};
  if (epoll_ctl(epoll, known != nullptr ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event) != 0) {
    // The number was closed and given out again behind our back, or is known already.
    epoll_ctl(epoll, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event);
  }
  curl_multi_assign(loop->multi_, socket, loop);
  return 0;
}

int CurlLoop::OnTimer(CURLM*, long timeout_ms, void* self) {
  auto* loop = static_cast<CurlLoop*>(self);
  loop->curl_deadline_ =
      timeout_ms < 0 ? 0 : NowNs() + static_cast<uint64_t>(timeout_ms) * 1'000'000;
  loop->Arm();
  return 0;
}

Status CurlLoop::Watch(int fd, std::function<void()> ready) {
  epoll_event event{EPOLLIN, {.fd = fd}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return Status::Errno("epoll_ctl");
  watched_ = fd;
  on_watched_ = std::move(ready);
  return Status();
}

void CurlLoop::SetDeadline(uint64_t deadline) {
  own_deadline_ = deadline;
  Arm();
}

void CurlLoop::Arm() {
  uint64_t next = curl_deadline_;
  if (own_deadline_ != 0 && (next == 0 || own_deadline_ < next)) next = own_deadline_;
  if (next == armed_) return;
  armed_ = next;
  itimerspec spec{};
  spec.it_value.tv_sec = static_cast<time_t>(next / 1'000'000'000);
  spec.it_value.tv_nsec = static_cast<long>(next % 1'000'000'000);
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void CurlLoop::Report(const Done& done) {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* easy = message->easy_handle;
    const CURLcode result = message->data.result;  // the message goes with the transfer
    done(easy, result);
  }
}

void CurlLoop::Kick(const Done& done) {
  int running = 0;
  curl_deadline_ = 0;
  curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
  Report(done);
}

bool CurlLoop::Run(const Done& done) {
  bool worked = false;
  for (int round = 0; round < kRounds; ++round) {
    epoll_event events[kEventsAtOnce];
    const int count = epoll_wait(epoll_.get(), events, kEventsAtOnce, 0);
    if (count <= 0) break;
    worked = true;
    bool only_timer = true;
    int running = 0;
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == timer_.get()) {
        uint64_t expirations;
        if (read(timer_.get(), &expirations, sizeof expirations) > 0) armed_ = 0;
        continue;
      }
      only_timer = false;
      if (events[i].data.fd == watched_) {
        on_watched_();
        continue;
      }
      curl_multi_socket_action(multi_, events[i].data.fd, CurlBits(events[i].events), &running);
    }
    if (curl_deadline_ != 0 && curl_deadline_ <= NowNs()) {
      curl_deadline_ = 0;
      curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    Report(done);
    Arm();
    if (only_timer) break;
  }
  return worked;
}

}  // namespace usetl::etl
