#include "cri/image/layer_work.h"

#include <algorithm>
#include <system_error>

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
  pool.reserve(threads);
  try {
    while (pool.size() < std::min(count, threads)) pool.emplace_back(run);
  } catch (const std::system_error& error) {
    // Those that started do the work of all.
    if (pool.empty()) first = Status(error.code().value(), "start a thread for layers");
  }
  for (std::thread& thread : pool) thread.join();
  return first;
}

}  // namespace usetl::image
