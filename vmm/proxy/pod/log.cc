#include "vmm/proxy/pod/log.h"

#include <time.h>

namespace usetl::pod {
namespace {

constexpr size_t kStack = 64 << 10;
// A disk that was full is tried again that often, should no line come.
constexpr std::chrono::seconds kRetry{1};
// An idle container keeps no more than this of what a burst of output took.
constexpr size_t kKeep = 16 << 10;

int64_t RealtimeNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

bool Log::StartThread() {
  if (thread_ != pthread_t{}) return true;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  const bool started = pthread_attr_setstacksize(&attributes, kStack) == 0 &&
                       pthread_create(&thread_, &attributes, &Main, this) == 0;
  pthread_attr_destroy(&attributes);
  if (!started) thread_ = {};
  return started;
}

Log::~Log() {
  if (thread_ == pthread_t{}) return;
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  work_.notify_one();
  pthread_join(thread_, nullptr);
}

void* Log::Main(void* self) {
  static_cast<Log*>(self)->Run();
  return nullptr;
}

void Log::Run() {
  std::unique_lock lock(mutex_);
  const auto something = [&] {
    return ends_ || !waiting_.empty() || dropped_ != 0 || next_file_.has_value();
  };
  for (std::string lines;;) {
    busy_ = false;
    if (waiting_.empty() && dropped_ == 0) idle_.notify_one();
    if (file_.owes()) {
      work_.wait_for(lock, kRetry, something);
    } else {
      work_.wait(lock, something);
    }
    if (ends_ && waiting_.empty()) return;
    busy_ = true;
    lines.swap(waiting_);
    moved_ = Clock::now();
    losing_ = std::exchange(dropped_, 0);
    const bool loses = losing_ != 0;
    std::optional<Fd> next = std::exchange(next_file_, std::nullopt);
    lock.unlock();
    if (next) file_.Reopen(std::move(*next));
    if (lines.empty()) {
      file_.Settle();
    } else {
      file_.Write(lines);
    }
    if (loses) {
      // Behind the lines that were in the buffer already.
      lock.lock();
      file_.Lose(std::exchange(losing_, 0), ETIMEDOUT);
      lock.unlock();
      file_.Settle();
    }
    lines.clear();
    if (lines.capacity() > kKeep) std::string().swap(lines);
    lock.lock();
  }
}

void Log::Give(std::string lines, uint64_t count) {
  if (count == 0) return;
  const bool running = StartThread();
  {
    const std::lock_guard lock(mutex_);
    if (!running || waiting_.size() >= kMaxBuffer) {
      dropped_ += count;
      return;
    }
    waiting_.append(lines);
  }
  work_.notify_one();
}

void Log::Add(uint32_t stream, std::string_view bytes) {
  std::string lines;
  const uint64_t count = lines_.Add(stream, bytes, RealtimeNs(), &lines);
  Give(std::move(lines), count);
}

bool Log::Congested() {
  const std::lock_guard lock(mutex_);
  return waiting_.size() >= kMaxBuffer && Clock::now() - moved_ < kPatience;
}

void Log::Reopen(Fd file) {
  {
    const std::lock_guard lock(mutex_);
    next_file_ = std::move(file);
  }
  if (StartThread()) work_.notify_one();
}

bool Log::Finish(std::chrono::milliseconds most) {
  std::string lines;
  const uint64_t count = lines_.Finish(RealtimeNs(), &lines);
  Give(std::move(lines), count);
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, most, [&] { return !busy_ && waiting_.empty() && dropped_ == 0; });
}

uint64_t Log::lines_lost() {
  const std::lock_guard lock(mutex_);
  return file_.lost() + losing_ + dropped_;
}

}  // namespace usetl::pod
