#include "cri/image/layer_work.h"

#include <algorithm>

namespace usetl::image {

Status ForEachLayer(size_t count, size_t threads, const Cancelled& cancelled,
                    const std::function<Status(size_t, const Cancelled&)>& work) {
  std::mutex mutex;
  Status first;
  std::atomic<bool> failed = false;
  std::atomic<size_t> next = 0;
  const Cancelled stop = [&] { return failed.load() || IsCancelled(cancelled); };
  const auto run = [&] {
    while (!failed) {
      const size_t number = next++;
      if (number >= count) return;
      const Status status = work(number, stop);
      if (status.ok()) continue;
      const std::lock_guard lock(mutex);
      if (first.ok()) first = status;
      failed = true;
    }
  };
  std::vector<std::thread> pool;
  for (size_t i = 0; i < std::min(count, threads); ++i) pool.emplace_back(run);
  for (std::thread& thread : pool) thread.join();
  return first;
}

}  // namespace usetl::image
