#include "vmm/usf/guest_memory.h"

#include <algorithm>

namespace usetl {
namespace {

// Address space only, on a 2 MB boundary (as guest-physical addresses are: else no 2 MB page could
// be mapped as one); filled later with MAP_FIXED.
Result<Mapping> Reserve(uint64_t size) {
  constexpr uint64_t kAlign = abi::kHugePageSize;
  size = (size + abi::kPageSize - 1) / abi::kPageSize * abi::kPageSize;
  void* base =
      mmap(nullptr, size + kAlign, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return Status::Errno("reserving address space for the guest");
  auto* at = static_cast<uint8_t*>(base);
  const uint64_t before = (kAlign - reinterpret_cast<uint64_t>(at) % kAlign) % kAlign;
  if (before != 0) munmap(at, before);
  munmap(at + before + size, kAlign - before);
  return Mapping(at + before, size);
}

Status Fill(uint8_t* at, uint64_t size, int protection, int flags, int fd) {
  if (mmap(at, size, protection, flags | MAP_FIXED, fd, 0) == MAP_FAILED) {
    return Status::Errno("mapping guest memory");
  }
  return Status();
}

Status FillAnonymous(uint8_t* at, uint64_t size) {
  return Fill(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

uint64_t HugeUp(uint64_t v) { return (v + abi::kHugePageSize - 1) & ~(abi::kHugePageSize - 1); }

}  // namespace

Result<GuestMemory> GuestMemory::Create(const MemoryConfig& config, Machine* machine) {
  GuestMemory memory;
  memory.config_ = config;
  memory.ram_size_ = config.ram_size;
  memory.frames_size_ = config.frames_size;
  struct Part {
    Mapping* mapping;
    uint64_t reserve, fill;
    int protection, fd;
    Machine::Slot slot;
  };
  constexpr int kReadWrite = PROT_READ | PROT_WRITE;
  const Part parts[] = {
      {&memory.tables_,
       abi::kTables.size,
       abi::kTables.size,
       kReadWrite,
       -1,
       {kTablesSlot, abi::kTables, nullptr, false, false}},
      {&memory.ram_,
       config.ram_limit,
       config.ram_size,
       kReadWrite,
       -1,
       {kRamSlot, {abi::kRam.base, config.ram_size}, nullptr, false, true}},
      {&memory.frames_,
       config.frames_limit,
       config.frames_size,
       kReadWrite,
       -1,
       {kFramesSlot, {abi::kFrames.base, config.frames_size}, nullptr, false, true}},
      {&memory.control_,
       abi::kControl.size,
       abi::kControl.size,
       kReadWrite,
       config.control_fd,
       {kControlSlot, abi::kControl, nullptr, false, true}},
      {&memory.host_region_,
       config.host_region_size,
       config.host_region_size,
       PROT_READ,
       config.host_region_fd,
       {kHostRegionSlot, {abi::kHostRegion.base, config.host_region_size}, nullptr, true, false}},
      {&memory.guest_region_,
       config.guest_region_size,
       config.guest_region_size,
       kReadWrite,
       config.guest_region_fd,
       {kGuestRegionSlot,
        {abi::kGuestRegion.base, config.guest_region_size},
        nullptr,
        false,
        true}},
  };
  for (const Part& part : parts) {
    if (part.reserve == 0) continue;
    Result<Mapping> mapping = Reserve(part.reserve);
    if (!mapping.ok()) return mapping.status();
    *part.mapping = std::move(*mapping);
    uint8_t* base = part.mapping->data();
    const int flags = part.fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    USETL_RETURN_IF_ERROR(Fill(base, part.fill, part.protection, flags, part.fd));
    Machine::Slot slot = part.slot;
    slot.host = base;
    USETL_RETURN_IF_ERROR(machine->AddSlot(slot));
  }
  uint64_t at = abi::kPacks.base;
  for (const MemoryConfig::Pack& pack : config.packs) {
    void* base = mmap(nullptr, pack.size, PROT_READ, MAP_SHARED, pack.fd, 0);
    if (base == MAP_FAILED) return Status::Errno("mapping a pack");
    memory.packs_.emplace_back(base, pack.size);
    const abi::Window window{at, pack.size};
    const auto number = static_cast<uint32_t>(kFirstPackSlot + memory.pack_windows_.size());
    USETL_RETURN_IF_ERROR(machine->AddSlot({number, window, base, true, false}));
    memory.pack_windows_.push_back(window);
    at += HugeUp(pack.size);
  }
  if (at > abi::kImagePacks.base) return Status(E2BIG, "the runtime's packs are too large");
  Result<Mapping> image = Reserve(abi::kImagePacks.size);
  if (!image.ok()) return image.status();
  memory.image_ = std::move(*image);
  USETL_RETURN_IF_ERROR(memory.ExtendImageSlots(kFirstSlot, machine));
  return memory;
}

Status GuestMemory::RenewTables(Machine* machine) {
  return machine->RenewSlot({kTablesSlot, abi::kTables, tables_.data(), false, false});
}

Status GuestMemory::ExtendImageSlots(uint64_t size, Machine* machine) {
  if (size <= image_slots_) return Status();
  // At least doubled: slots stay few. But what fits into those that are kept takes no more.
  const uint64_t most = size <= kKeptSlots ? kKeptSlots : uint64_t{abi::kImagePacks.size};
  const uint64_t end = std::min(std::max(HugeUp(size), 2 * image_slots_), most);
  const abi::Window window{abi::kImagePacks.base + image_slots_, end - image_slots_};
  USETL_RETURN_IF_ERROR(
      machine->AddSlot({next_image_slot_, window, image_.data() + image_slots_, true, false}));
  ++next_image_slot_;
  image_slots_ = end;
  return Status();
}

Status GuestMemory::MapImagePacks(const std::vector<MemoryConfig::Pack>& packs, Machine* machine) {
  if (!image_windows_.empty()) return Status(EBUSY, "a USF takes one image at a time");
  if (packs.size() > abi::kMaxImagePacks) return Status(E2BIG, "the image has too many layers");
  uint64_t size = 0;
  for (const MemoryConfig::Pack& pack : packs) {
    // The tables are there already, so a small one needs no 2 MB of its own.
    if (pack.size >= abi::kHugePageSize) size = HugeUp(size);
    const uint64_t length = (pack.size + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
    if (length < pack.size || length > abi::kImagePacks.size ||
        size > abi::kImagePacks.size - length) {
      return Status(E2BIG, "the image's layers are too large");
    }
    image_windows_.push_back({abi::kImagePacks.base + size, length});
    size += length;
  }
  USETL_RETURN_IF_ERROR(ExtendImageSlots(size, machine));
  for (size_t i = 0; i < packs.size(); ++i) {
    uint8_t* at = image_.data() + (image_windows_[i].base - abi::kImagePacks.base);
    USETL_RETURN_IF_ERROR(Fill(at, image_windows_[i].size, PROT_READ, MAP_SHARED, packs[i].fd));
  }
  return Status();
}

Status GuestMemory::UnmapImagePacks() {
  if (image_windows_.empty()) return Status();
  const uint64_t size = image_windows_.back().end() - abi::kImagePacks.base;
  image_windows_.clear();
  return Fill(image_.data(), size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
}

Status GuestMemory::ReplaceHostRegion(int fd) {
  return Fill(host_region_.data(), host_region_.size(), PROT_READ, MAP_SHARED, fd);
}

std::optional<std::span<uint8_t>> GuestMemory::Span(abi::Gpa gpa, uint64_t size) const {
  const uint64_t address = abi::Raw(gpa);
  const auto within = [&](const abi::Window& w,
                          uint8_t* base) -> std::optional<std::span<uint8_t>> {
    if (!w.Contains(address, size)) return std::nullopt;
    return std::span<uint8_t>(base + (address - w.base), size);
  };
  if (auto s = within({abi::kRam.base, ram_size_}, ram_.data())) return s;
  if (auto s = within({abi::kFrames.base, frames_size_}, frames_.data())) return s;
  return within(abi::kTables, tables_.data());
}

abi::HostPage& GuestMemory::host_page() const {
  return *reinterpret_cast<abi::HostPage*>(control_.data() + abi::kHostPageOffset);
}

abi::GuestPage& GuestMemory::guest_page() const {
  return *reinterpret_cast<abi::GuestPage*>(control_.data() + abi::kGuestPageOffset);
}

Status GuestMemory::Grow(const abi::Window& window, uint8_t* base, uint64_t* size, uint64_t wanted,
                         uint64_t limit, Machine* machine) {
  wanted = HugeUp(wanted);
  if (wanted > limit) return Status(ENOMEM, "the memory limit of the function");
  if (wanted <= *size) return Status();
  const uint64_t length = wanted - *size;
  USETL_RETURN_IF_ERROR(FillAnonymous(base + *size, length));
  USETL_RETURN_IF_ERROR(machine->AddSlot(
      {next_growth_slot_, {window.base + *size, length}, base + *size, false, false}));
  ++next_growth_slot_;
  *size = wanted;
  return Status();
}

Status GuestMemory::GrowRam(uint64_t size, Machine* machine) {
  const uint64_t before = ram_size_;
  USETL_RETURN_IF_ERROR(Grow(abi::kRam, ram_.data(), &ram_size_, size, config_.ram_limit, machine));
  // Whoever fills it faults once for 2 MB, in place of 512 times for some 5 us.
  // EINVAL: a kernel that has none.
  const int result = madvise(ram_.data() + before, ram_size_ - before, MADV_HUGEPAGE);
  return result == 0 || errno == EINVAL ? Status() : Status::Errno("2 MB pages for RAM");
}

Status GuestMemory::ReleaseRam(uint64_t begin, uint64_t end) {
  // Not what was a part of the snapshot, which would come back.
  const uint64_t grown = std::clamp(config_.ram_size, begin, end);
  if (begin < grown) USETL_RETURN_IF_ERROR(FillAnonymous(ram_.data() + begin, grown - begin));
  if (grown == end || madvise(ram_.data() + grown, end - grown, MADV_DONTNEED) == 0) {
    return Status();
  }
  return Status::Errno("releasing RAM");
}

Status GuestMemory::GrowFrames(uint64_t size, Machine* machine) {
  return Grow(abi::kFrames, frames_.data(), &frames_size_, size, config_.frames_limit, machine);
}

}  // namespace usetl
