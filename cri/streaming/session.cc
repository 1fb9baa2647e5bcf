#include "cri/streaming/session.h"

#include <sys/socket.h>

#include <algorithm>

namespace usetl::cri::streaming {
namespace {

constexpr size_t kMaxOutput = 256 << 10;  // that a client has not taken
constexpr size_t kReadSize = 32 << 10;

using std::chrono::duration_cast;
using std::chrono::milliseconds;

}  // namespace

Status Session::Run(Fd socket, std::string hello, std::string_view early) {
  socket_ = std::move(socket);
  output_ = std::move(hello);
  USETL_RETURN_IF_ERROR(mux_->Start(this));
  Status status = mux_->Receive(early);
  Clock::time_point active = Clock::now();
  while (status.ok()) {
    WriteClient();
    status = Advance();
    if (!status.ok()) break;
    WriteClient();
    if (gone_ || mux_->gone()) return Status();
    if (finished()) break;

    Poller poller;
    const bool reading = output_.size() < kMaxOutput && !congested();
    const auto events =
        static_cast<short>((reading ? POLLIN : POLLRDHUP) | (output_.empty() ? 0 : POLLOUT));
    poller.Watch(socket_.get(), events, [this, reading] {
      if (reading) return ReadClient();
      // Not read, but it may have left.
      pollfd left{socket_.get(), POLLRDHUP, 0};
      gone_ = poll(&left, 1, 0) > 0;
      return Status();
    });
    poller.Watch(stop_, POLLIN, [this] {
      gone_ = true;
      return Status();
    });
    Watch(&poller, output_.size() < kMaxOutput);
    const auto incomplete = incomplete_since();
    const Clock::time_point due =
        std::min(active + timers_.idle,
                 incomplete ? *incomplete + timers_.creation : Clock::time_point::max());
    const Result<bool> waited =
        poller.Wait(duration_cast<milliseconds>(due - Clock::now()) + milliseconds(1));
    status = waited.status();
    if (!waited.ok()) break;
    if (*waited) {
      active = Clock::now();
    } else if (Clock::now() >= due) {
      status = Status(ETIMEDOUT, incomplete ? "its streams were not all opened in time"
                                            : "nothing happened for too long");
    }
  }
  Release();
  mux_->Close();
  output_ += mux_->TakeOutput();
  CloseGently(socket_, std::move(output_), stop_, timers_.linger);
  return status;
}

Status Session::ReadClient() {
  char bytes[kReadSize];
  const ssize_t size = recv(socket_.get(), bytes, sizeof bytes, 0);
  if (size > 0) return mux_->Receive(std::string_view(bytes, static_cast<size_t>(size)));
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return Status();
  gone_ = true;  // with or without a word
  return Status();
}

void Session::WriteClient() {
  output_ += mux_->TakeOutput();
  while (!output_.empty()) {
    const ssize_t size = send(socket_.get(), output_.data(), output_.size(), MSG_NOSIGNAL);
    if (size < 0) {
      if (errno != EAGAIN && errno != EINTR) gone_ = true;
      return;
    }
    output_.erase(0, static_cast<size_t>(size));
  }
}

void CloseGently(const Fd& socket, std::string output, int stop, milliseconds limit) {
  const auto due = std::chrono::steady_clock::now() + limit;
  bool shut = false;
  for (;;) {
    while (!output.empty()) {
      const ssize_t size = send(socket.get(), output.data(), output.size(), MSG_NOSIGNAL);
      if (size < 0) {
        if (errno != EAGAIN && errno != EINTR) return;
        break;
      }
      output.erase(0, static_cast<size_t>(size));
    }
    if (output.empty() && !std::exchange(shut, true)) shutdown(socket.get(), SHUT_WR);
    const auto left = duration_cast<milliseconds>(due - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    pollfd fds[] = {{socket.get(), static_cast<short>(POLLIN | (shut ? 0 : POLLOUT)), 0},
                    {stop, POLLIN, 0}};
    if (poll(fds, 2, static_cast<int>(left.count())) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) return;
    if (fds[0].revents == 0) continue;
    char bytes[kReadSize];
    const ssize_t size = recv(socket.get(), bytes, sizeof bytes, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) return;
  }
}

}  // namespace usetl::cri::streaming
