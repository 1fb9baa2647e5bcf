// image_collector.h: the thread that deletes what no image has any more.
//
// Removing an image deletes at once what only it had, but for what a container still uses; that,
// and what a pull left that was cut off, goes here.
#ifndef USETL_CRI_SERVER_IMAGE_COLLECTOR_H_
#define USETL_CRI_SERVER_IMAGE_COLLECTOR_H_

#include <condition_variable>
#include <mutex>
#include <thread>

#include "cri/image/image_store.h"

namespace usetl::cri {

// Thread-safe. Collects when it is made, when it is told to, and every hour.
class ImageCollector {
 public:
  // `images` must outlive this.
  explicit ImageCollector(image::ImageStore* images)
      : images_(*images), thread_([this] { Run(); }) {}
  ~ImageCollector();
  ImageCollector(const ImageCollector&) = delete;
  ImageCollector& operator=(const ImageCollector&) = delete;

  // Soon; does not wait for it.
  void Collect();

 private:
  void Run();

  image::ImageStore& images_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool wanted_ = false, ending_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_IMAGE_COLLECTOR_H_
