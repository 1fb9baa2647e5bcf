// image_runtimes.h: runtimes for images that bring a Python of their own.
//
//   DIRECTORY/image-HEX/    a runtime (vmm/pool/runtime.h), its packs links to those of the image
//
// Baking starts when an image is seen, in threads of this; nobody waits for it but who wants to run
// it. What is in the directory stays across restarts and is made anew when it no longer fits.
#ifndef USETL_CRI_CONTAINER_IMAGE_RUNTIMES_H_
#define USETL_CRI_CONTAINER_IMAGE_RUNTIMES_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cri/image/image_catalog.h"
#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Thread-safe.
class ImageRuntimes {
 public:
  using Clock = std::chrono::steady_clock;

  // Makes the directory, and removes what an earlier usetld left half done there. It has to be in
  // the file system of the image store.
  static Result<std::unique_ptr<ImageRuntimes>> Open(const std::string& directory);
  // Kills what is under way.
  ~ImageRuntimes();

  // The image is on the node: if it has a Python, its runtime is made in the background.
  void Prepare(const image::ImagePtr& image);
  // The name of the image's runtime; empty: it has no Python. Waits until `deadline` for one that
  // is being made: EINPROGRESS. EINVAL: its Python cannot run here; ECHILD: baking failed, and is
  // tried again a minute later, two minutes after that, and so on up to an hour. The packs of
  // `image` must stay meanwhile.
  Result<std::string> Get(const image::ImagePtr& image, Clock::time_point deadline);
  // Removes the runtimes of all images but those with these ids.
  Status Keep(const std::set<std::string>& ids);

 private:
  enum class State { kWanted, kReady, kFailed, kNoPython };
  struct Entry {
    State state = State::kWanted;
    image::ImagePtr image;
    Status failure;
    Clock::time_point failed;
    int failures = 0;  // in a row
  };

  explicit ImageRuntimes(std::string directory) : directory_(std::move(directory)) {}
  // Looks the image up, and into it when it is new. REQUIRES: lock holds mutex_; it is let go
  // meanwhile.
  Entry& Find(const image::ImagePtr& image, std::unique_lock<std::mutex>* lock);
  // The place of the next that is to be made; null: there is none. REQUIRES: mutex_.
  std::deque<std::string>* Next(std::deque<std::string>::iterator* place);
  void Work();
  Status Make(const image::Image& image);

  const std::string directory_;
  Fd stop_;  // eventfd
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::map<std::string, Entry> entries_;  // by image id
  // Ids. One that failed before is made when nothing else is to do: it is likely to fail again, and
  // to take its time.
  std::deque<std::string> queue_, failed_;
  std::set<std::string> making_;  // ids: one process at a time for each
  std::vector<std::thread> threads_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_IMAGE_RUNTIMES_H_
