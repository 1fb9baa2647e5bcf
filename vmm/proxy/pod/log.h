// log.h: writes a container's log without ever keeping the container.
//
// A regular file never says EAGAIN: a write to a slow or failing disk blocks whoever makes it. So
// one thread does nothing but write; the worker's loop gives it whole lines through a buffer of
// bounded size. While the buffer is full the function waits, as it would on a pipe, but not for
// ever: when the disk has not moved for some time, and when it has no space, lines are lost,
// counted, and told of in the log when it works again.
#ifndef USETL_VMM_PROXY_POD_LOG_H_
#define USETL_VMM_PROXY_POD_LOG_H_

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/pod/log_file.h"
#include "vmm/proxy/pod/log_lines.h"

namespace usetl::pod {

class Log {
 public:
  static constexpr size_t kMaxBuffer = 1 << 20;
  // How long a full buffer keeps the function waiting while nothing is written.
  static constexpr std::chrono::milliseconds kPatience{2000};

  // `file` as LogFile has it. The thread starts with the first line: a container that says nothing
  // needs none.
  explicit Log(Fd file) : file_(std::move(file)) {}
  // Waits for the disk; a process that cannot wait leaves by _exit().
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // All of these are for the loop's thread.

  // Output of the function, or what the worker has to say (a traceback). Lines are lost while the
  // buffer is full.
  void Add(uint32_t stream, std::string_view bytes);
  // True: the caller leaves output where it is and asks again soon. False after kPatience, so that
  // lines are lost rather than the function kept.
  bool Congested();

  // Lines go to `file` as soon as the write that is under way has ended.
  void Reopen(Fd file);
  // Adds what no line feed has ended, and waits `most` until everything is written. False: the
  // disk still holds the thread.
  bool Finish(std::chrono::milliseconds most);
  uint64_t lines_lost();

 private:
  using Clock = std::chrono::steady_clock;

  // False: the system has no thread for us; asked for again with the next line.
  bool StartThread();
  void Give(std::string lines, uint64_t count);
  static void* Main(void* self);
  void Run();

  LogLines lines_;  // of the loop alone
  LogFile file_;    // of the thread alone, but for lost()
  pthread_t thread_{};

  std::mutex mutex_;  // of all below
  std::condition_variable work_, idle_;
  std::string waiting_;   // whole lines
  uint64_t dropped_ = 0;  // for which the buffer had no room
  uint64_t losing_ = 0;   // of these, what the thread will count when the disk lets it go on
  bool busy_ = false;     // the thread is at the disk
  bool ends_ = false;
  Clock::time_point moved_ = Clock::now();  // when the thread took something last
  std::optional<Fd> next_file_;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_LOG_H_
