#include "cri/server/image_collector.h"

#include <spdlog/spdlog.h>

namespace usetl::cri {

ImageCollector::~ImageCollector() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ImageCollector::Collect() {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  changed_.notify_all();
}

void ImageCollector::Run() {
  constexpr std::chrono::hours kPeriod{1};
  std::unique_lock lock(mutex_);
  while (!ending_) {
    lock.unlock();
    const Result<image::CollectReport> report = images_.CollectGarbage();
    if (!report.ok()) {
      spdlog::warn("{}", report.status().message());
    } else if (report->files > 0) {
      spdlog::info("images: {} files of {} kB were of no image any more", report->files,
                   report->bytes >> 10);
    }
    lock.lock();
    changed_.wait_for(lock, kPeriod, [this] { return wanted_ || ending_; });
    wanted_ = false;
  }
}

}  // namespace usetl::cri
