#include "cri/container/image_runtimes.h"

#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "cri/container/bake_process.h"
#include "vmm/base/image_runtime.h"
#include "vmm/base/installation.h"
#include "vmm/pool/interpreter.h"
#include "vmm/pool/runtime.h"

namespace usetl::cri {
namespace {

namespace fs = std::filesystem;

// One that takes its time must not keep out all others.
constexpr int kThreads = 2;
constexpr std::chrono::minutes kTryAgain{1}, kLastTryAgain{60};
constexpr std::string_view kUnfinished = ".new";  // behind the name of what is being made

std::string NameOf(const image::Image& image) {
  return image.repo_tags.empty() ? image.id : image.repo_tags.front();
}

// OK, ENOENT or EINVAL, as FindInterpreter() has it.
Status LookInto(const image::Image& image) {
  Result<pack::PackLayers> layers = pack::PackLayers::Open(image.packs);
  if (!layers.ok()) return Status(EIO, layers.status().message());  // whatever its code
  std::string_view search;
  for (const std::string& variable : image.config.environment) {
    if (variable.starts_with("PATH=")) search = std::string_view(variable).substr(5);
  }
  return FindInterpreter(*layers, search).status();
}

// How long to leave one alone that has failed so often.
std::chrono::minutes PauseAfter(int failures) {
  auto pause = kTryAgain;
  for (int i = 1; i < failures && pause < kLastTryAgain; ++i) pause *= 2;
  return std::min(pause, kLastTryAgain);
}

Status Remove(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? Status(error.value(), "remove " + path.string() + ": " + error.message())
               : Status();
}

}  // namespace

Result<std::unique_ptr<ImageRuntimes>> ImageRuntimes::Open(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return Status(error.value(), "create " + directory + ": " + error.message());
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == kUnfinished) USETL_RETURN_IF_ERROR(Remove(it->path()));
  }
  if (error) return Status(error.value(), "read " + directory + ": " + error.message());
  std::unique_ptr<ImageRuntimes> runtimes(new ImageRuntimes(directory));
  runtimes->stop_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!runtimes->stop_.ok()) return Status::Errno("eventfd");
  try {
    for (int i = 0; i < kThreads; ++i) {
      runtimes->threads_.emplace_back([raw = runtimes.get()] { raw->Work(); });
    }
  } catch (const std::system_error& failed) {
    return Status(failed.code().value(), "start a thread for baking");
  }
  return runtimes;
}

ImageRuntimes::~ImageRuntimes() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  (void)!eventfd_write(stop_.get(), 1);
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

ImageRuntimes::Entry& ImageRuntimes::Find(const image::ImagePtr& image,
                                          std::unique_lock<std::mutex>* lock) {
  auto found = entries_.find(image->id);
  if (found == entries_.end()) {
    lock->unlock();
    const Status looked = LookInto(*image);
    lock->lock();
    const auto [entry, fresh] = entries_.try_emplace(image->id);
    found = entry;
    if (fresh) {
      entry->second.image = image;
      if (looked.code() == ENOENT) {
        entry->second.state = State::kNoPython;
      } else if (!looked.ok()) {
        entry->second = {State::kFailed, image, looked, Clock::now(), 1};
      } else {
        queue_.push_back(image->id);
        changed_.notify_all();
      }
    }
  }
  Entry& entry = found->second;
  const bool again = entry.state == State::kFailed && entry.failure.code() != EINVAL &&
                     Clock::now() - entry.failed >= PauseAfter(entry.failures);
  if (again) {
    entry.state = State::kWanted;
    failed_.push_back(image->id);
    changed_.notify_all();
  }
  return entry;
}

void ImageRuntimes::Prepare(const image::ImagePtr& image) {
  std::unique_lock lock(mutex_);
  Find(image, &lock);
}

Result<std::string> ImageRuntimes::Get(const image::ImagePtr& image, Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  Find(image, &lock);
  const auto is_done = [&] {
    const auto entry = entries_.find(image->id);
    return stopping_ || entry == entries_.end() || entry->second.state != State::kWanted;
  };
  const bool done = changed_.wait_until(lock, deadline, is_done);
  const auto entry = entries_.find(image->id);
  if (!done || stopping_ || entry == entries_.end()) {
    return Status(EINPROGRESS, "preparing image " + NameOf(*image) +
                                   ": its Python is being made ready on this node; try again");
  }
  switch (entry->second.state) {
    case State::kReady:
      return ImageRuntimeName(image->id);
    case State::kFailed:
      return Status(entry->second.failure.code(),
                    "usetl: the image " + NameOf(*image) +
                        " cannot be run: " + entry->second.failure.message());
    default:
      return std::string();
  }
}

Status ImageRuntimes::Keep(const std::set<std::string>& ids) {
  std::set<std::string> names;
  for (const std::string& id : ids) names.insert(ImageRuntimeName(id));
  const std::lock_guard lock(mutex_);
  // What is being made is removed when it is done: its entry is gone then. What a killed process
  // left half made has no other name to stay by.
  for (const std::string& id : making_) {
    names.insert(ImageRuntimeName(id));
    names.insert(ImageRuntimeName(id).append(kUnfinished));
  }
  std::erase_if(entries_, [&](const auto& entry) { return !ids.contains(entry.first); });
  changed_.notify_all();
  std::error_code error;
  std::vector<fs::path> unused;
  for (fs::directory_iterator it(directory_, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename();
    std::string_view runtime = name;
    if (runtime.ends_with(kUnfinished)) runtime.remove_suffix(kUnfinished.size());
    if (IsImageRuntime(runtime) && !names.contains(name)) unused.push_back(it->path());
  }
  if (error) return Status(error.value(), "read " + directory_ + ": " + error.message());
  for (const fs::path& path : unused) USETL_RETURN_IF_ERROR(Remove(path));
  return Status();
}

Status ImageRuntimes::Make(const image::Image& image) {
  const std::string name = ImageRuntimeName(image.id);
  // Of an earlier usetld, and for this kernel and processor?
  const Status known = OpenRuntime(directory_, name, KernelPath()).status();
  if (known.ok()) return Status();
  const auto begin = Clock::now();
  USETL_RETURN_IF_ERROR(BakeImage(image, directory_, name, stop_.get()));
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  spdlog::info("image {}: its Python was made ready in {} ms", NameOf(image), took.count());
  return Status();
}

std::deque<std::string>* ImageRuntimes::Next(std::deque<std::string>::iterator* place) {
  for (auto* queue : {&queue_, &failed_}) {
    *place = std::ranges::find_if(*queue, [&](const auto& id) { return !making_.contains(id); });
    if (*place != queue->end()) return queue;
  }
  return nullptr;
}

void ImageRuntimes::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    std::deque<std::string>* queue = nullptr;
    std::deque<std::string>::iterator next;
    changed_.wait(lock, [&] { return stopping_ || (queue = Next(&next)) != nullptr; });
    if (stopping_) return;
    const std::string id = *next;
    queue->erase(next);
    auto entry = entries_.find(id);
    if (entry == entries_.end() || entry->second.state != State::kWanted) continue;
    const image::ImagePtr image = entry->second.image;
    making_.insert(id);
    lock.unlock();
    const Status made = Make(*image);
    lock.lock();
    making_.erase(id);
    entry = entries_.find(id);
    if (entry == entries_.end()) {
      const Status removed = Remove(fs::path(directory_) / ImageRuntimeName(id));
      if (!removed.ok()) spdlog::warn("image {}: {}", id, removed.message());
      continue;
    }
    entry->second.state = made.ok() ? State::kReady : State::kFailed;
    entry->second.failure = made;
    entry->second.failures = made.ok() ? 0 : entry->second.failures + 1;
    entry->second.failed = Clock::now();
    if (!made.ok() && !stopping_) {
      spdlog::warn("image {} cannot be run: {}", NameOf(*image), made.message());
    }
    changed_.notify_all();
  }
}

}  // namespace usetl::cri
