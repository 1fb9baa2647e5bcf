#include "vmm/proxy/pod/counts.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>

namespace usetl::pod {

CountsPage::~CountsPage() {
  if (page_ != nullptr) munmap(page_, kCountsSize);
}

Status CountsPage::Take(const Fd& file, const Counts& now) {
  struct stat info;
  if (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode) ||
      info.st_size < static_cast<off_t>(kCountsSize)) {
    return Status(EPROTO, "usetld gave no page for counts");
  }
  void* mapped =
      mmap(nullptr, kCountsSize, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), /*offset=*/0);
  if (mapped == MAP_FAILED) return Status::Errno("mapping the page of counts");
  if (page_ != nullptr) munmap(page_, kCountsSize);
  page_ = static_cast<uint64_t*>(mapped);
  if (later_) base_ = now;
  later_ = true;
  Publish(now);
  return Status();
}

void CountsPage::Publish(const Counts& now) {
  if (page_ == nullptr) return;
  for (uint32_t i = 0; i < kCountEnd; ++i) {
    std::atomic_ref(page_[i]).store(now[i] - base_[i], std::memory_order_relaxed);
  }
}

}  // namespace usetl::pod
