// notice.h: says what a command waits for once that has taken a while.
#ifndef USETL_CRI_CLIENT_NOTICE_H_
#define USETL_CRI_CLIENT_NOTICE_H_

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>

namespace usetl::cri {

// A line on stderr, if this lives as long.
class Notice {
 public:
  Notice(std::chrono::seconds patience, std::string line)
      : thread_([patience, line = std::move(line)](const std::stop_token& over) {
          std::mutex mutex;
          std::unique_lock lock(mutex);
          std::condition_variable_any never;
          never.wait_for(lock, over, patience, [] { return false; });
          if (!over.stop_requested()) std::fprintf(stderr, "%s\n", line.c_str());
        }) {}
  Notice(const Notice&) = delete;
  Notice& operator=(const Notice&) = delete;

 private:
  std::jthread thread_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_NOTICE_H_
