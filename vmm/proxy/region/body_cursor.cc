#include <time.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "vmm/proxy/region/host_region.h"

namespace usetl {
namespace {

Status Full() { return Status(ENOSPC, "the host region is full"); }

uint64_t PageUp(uint64_t size) {
  return (size + abi::kPageSize - 1) / abi::kPageSize * abi::kPageSize;
}

}  // namespace

BodyCursor::BodyCursor(BodyCursor&& other) noexcept { *this = std::move(other); }

BodyCursor& BodyCursor::operator=(BodyCursor&& other) noexcept {
  if (this == &other) return *this;
  Discard();
  region_ = std::exchange(other.region_, nullptr);
  epoch_ = other.epoch_;
  offset_ = std::exchange(other.offset_, 0);
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  moved_ = other.moved_;
  return *this;
}

uint8_t* BodyCursor::data() const { return region_->base_ + offset_; }

Status BodyCursor::Grow(uint64_t capacity) {
  if (capacity <= capacity_) return Status();
  // Also keeps the sums below from overflowing.
  if (capacity > region_->size_) return Full();
  const uint64_t wanted = PageUp(capacity);
  // A small body that becomes a large one moves to a 2 MB page while that is cheap.
  const uint64_t align = region_->AlignFor(wanted);
  const bool aligned = offset_ % align == 0;
  if (capacity_ != 0 && aligned && region_->free_.TakeAt(offset_ + capacity_, wanted - capacity_)) {
    capacity_ = wanted;
    return Status();
  }
  std::optional<uint64_t> place = region_->free_.Take(wanted, align);
  if (!place && align != abi::kPageSize) {
    if (capacity_ != 0 && region_->free_.TakeAt(offset_ + capacity_, wanted - capacity_)) {
      capacity_ = wanted;
      return Status();
    }
    place = region_->free_.Take(wanted, abi::kPageSize);
  }
  if (!place) return Full();
  if (size_ != 0) {
    std::memcpy(region_->base_ + *place, data(), size_);
    moved_ = true;
  }
  region_->free_.Give(offset_, capacity_);
  offset_ = *place;
  capacity_ = wanted;
  return Status();
}

Status BodyCursor::Append(std::span<const uint8_t> bytes) {
  const uint64_t needed = size_ + bytes.size();
  if (needed > capacity_) {
    // Doubling bounds the copies; where that much is not free, what is needed has to do.
    if (!Grow(std::max(needed, capacity_ * 2)).ok()) USETL_RETURN_IF_ERROR(Grow(needed));
  }
  if (!bytes.empty()) std::memcpy(data() + size_, bytes.data(), bytes.size());
  size_ = needed;
  return Status();
}

Result<PublishedBody> BodyCursor::Publish() {
  Result<uint32_t> slot = region_->FreeSlot();
  if (!slot.ok()) return slot.status();
  const uint64_t kept = PageUp(std::max<uint64_t>(size_, 1));
  region_->free_.Give(offset_ + kept, capacity_ - kept);
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  abi::FileEntry entry{};
  entry.type = abi::FileType::kRegular;
  entry.mode = 0444;
  entry.size = size_;
  entry.offset = offset_;
  entry.capacity = kept;
  entry.modified_ns = uint64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  region_->books_[*slot] = {HostRegion::Slot::kBody, offset_, kept};
  ++region_->live_bodies_;
  region_->Write(*slot, entry);
  const PublishedBody body{*slot, offset_, size_};
  region_ = nullptr;
  offset_ = size_ = capacity_ = 0;
  return body;
}

void BodyCursor::Discard() {
  if (region_ != nullptr && epoch_ == region_->epoch_) region_->free_.Give(offset_, capacity_);
  region_ = nullptr;
  offset_ = size_ = capacity_ = 0;
}

}  // namespace usetl
