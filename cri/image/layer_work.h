// layer_work.h: the layers of one image, worked on by a few threads.
#ifndef USETL_CRI_IMAGE_LAYER_WORK_H_
#define USETL_CRI_IMAGE_LAYER_WORK_H_

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cri/image/config.h"
#include "cri/image/documents.h"
#include "cri/image/files.h"

namespace usetl::image {

// Adds up what the threads report and tells the caller, one call at a time.
class ProgressMeter {
 public:
  ProgressMeter(const Manifest& manifest, std::function<void(const Progress&)> report)
      : report_(std::move(report)), layer_bytes_(manifest.layers.size()) {
    progress_.layers = manifest.layers.size();
    for (const Descriptor& layer : manifest.layers) progress_.bytes += layer.size;
  }
  // `bytes` of the layer are here now: fewer than before when it had to begin anew. `fetched` of
  // them have come just now.
  void SetBytes(size_t layer, uint64_t bytes, uint64_t fetched = 0) {
    const std::lock_guard lock(mutex_);
    progress_.bytes_fetched += fetched;
    progress_.bytes_done += bytes - layer_bytes_[layer];
    layer_bytes_[layer] = bytes;
    if (report_) report_(progress_);
  }
  void FinishLayer() {
    const std::lock_guard lock(mutex_);
    ++progress_.layers_done;
    if (report_) report_(progress_);
  }

 private:
  std::mutex mutex_;
  const std::function<void(const Progress&)> report_;
  Progress progress_;
  std::vector<uint64_t> layer_bytes_;
};

// Runs `work(number, cancelled)` for the numbers below `count` in up to `threads` threads. Returns
// the first error; `cancelled` then turns true for all others.
Status ForEachLayer(size_t count, size_t threads, const Cancelled& cancelled,
                    const std::function<Status(size_t, const Cancelled&)>& work);

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_LAYER_WORK_H_
