#include "cri/metrics/worker_counts.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace usetl::cri {

WorkerCounts::~WorkerCounts() {
  for (const auto& [container, page] : pages_) munmap(page, pod::kCountsSize);
}

Result<Fd> WorkerCounts::Open(const std::string& container) {
  Fd file(memfd_create("usetl-counts", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.ok()) return Status::Errno("memfd_create");
  if (ftruncate(file.get(), pod::kCountsSize) != 0 ||
      fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Status::Errno("a page of counts");
  }
  void* mapped = mmap(nullptr, pod::kCountsSize, PROT_READ, MAP_SHARED, file.get(), /*offset=*/0);
  if (mapped == MAP_FAILED) return Status::Errno("mapping a page of counts");
  Close(container);
  const std::lock_guard lock(mutex_);
  pages_[container] = static_cast<uint64_t*>(mapped);
  return file;
}

void WorkerCounts::Close(const std::string& container) {
  const std::lock_guard lock(mutex_);
  const auto found = pages_.find(container);
  if (found == pages_.end()) return;
  Add(found->second, &closed_);
  munmap(found->second, pod::kCountsSize);
  pages_.erase(found);
}

pod::Counts WorkerCounts::Sum() const {
  const std::lock_guard lock(mutex_);
  pod::Counts sum = closed_;
  for (const auto& [container, page] : pages_) Add(page, &sum);
  return sum;
}

void WorkerCounts::Add(const uint64_t* page, pod::Counts* sum) {
  for (uint32_t i = 0; i < pod::kCountEnd; ++i) (*sum)[i] += pod::ReadCount(page, i);
}

}  // namespace usetl::cri
