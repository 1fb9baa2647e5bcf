#include "vmm/usf/address_space.h"

#include <cstring>

#include "vmm/platform/x86.h"

namespace usetl {
namespace {

using abi::kPageSize;

// Of the arena: to have the platform forget tables takes milliseconds, whatever it brings.
constexpr uint64_t kLeastGain = 32 * kPageSize;
constexpr uint32_t kWriteOrExec = abi::kProtWrite | abi::kProtExec;

uint64_t FlagsOf(uint32_t protection) {
  uint64_t flags = 0;
  if (protection != 0) flags |= x86::kUser;
  if (protection & abi::kProtWrite) flags |= x86::kWritable;
  if (!(protection & abi::kProtExec)) flags |= x86::kNoExecute;
  return flags;
}

bool Aligned(const abi::RangeRequest& r) {
  return r.va % kPageSize == 0 && r.gpa % kPageSize == 0 && r.length % kPageSize == 0 &&
         r.length != 0;
}

bool InZoneC(const abi::RangeRequest& r) {
  return abi::kMapped.Contains(r.va, r.length) || abi::kLowMapped.Contains(r.va, r.length);
}

}  // namespace

AddressSpace::AddressSpace(GuestMemory* memory, Machine* machine, const AddressSpaceState& state)
    : memory_(memory),
      machine_(machine),
      tables_(memory->tables() + (abi::kTableArena.base - abi::kTables.base), state.root,
              state.tables_used),
      ram_mapped_(memory->ram_size()),
      frames_used_(state.frames_used),
      is_host_written_(memory->config().frames_size / kPageSize) {}

Status AddressSpace::MapFixedZones(uint64_t text_begin, uint64_t text_end, uint64_t data) {
  constexpr uint64_t kUserRead = x86::kUser | x86::kNoExecute;
  constexpr uint64_t kUserData = kUserRead | x86::kWritable;
  struct Zone {
    uint64_t base, end, flags;
  };
  const uint64_t control = abi::kControl.base;
  const MemoryConfig& config = memory_->config();
  std::vector<Zone> zones = {
      // For the processor's own table walks, not for code at CPL3.
      {abi::kTables.base, abi::kTableArena.base, x86::kNoExecute},
      {control, control + abi::kReadOnlySize, kUserRead},
      {control + abi::kReadOnlySize, abi::kControl.end(), kUserData},
      {abi::kKernelImage.base, text_begin, kUserRead},
      {text_begin, text_end, x86::kUser},
      {text_end, data, kUserRead},
      {data, abi::kRam.base + memory_->ram_size(), kUserData},
      {abi::kHostRegion.base, abi::kHostRegion.base + config.host_region_size, kUserRead},
      {abi::kGuestRegion.base, abi::kGuestRegion.base + config.guest_region_size, kUserData},
      {abi::kImagePacks.base, abi::kImagePacks.end(), kUserRead},
  };
  for (const abi::Window& pack : memory_->packs())
    zones.push_back({pack.base, pack.end(), kUserRead});
  USETL_RETURN_IF_ERROR(tables_.Start());
  for (const Zone& zone : zones) {
    if (zone.base >= zone.end) continue;
    USETL_RETURN_IF_ERROR(
        tables_.Map(zone.base, zone.base, zone.end - zone.base, zone.flags, /*huge=*/true));
  }
  tables_.BeginBatch();
  tables_.EndBatch();
  return Status();
}

Status AddressSpace::ExtendRegions() {
  constexpr uint64_t kUserRead = x86::kUser | x86::kNoExecute;
  const MemoryConfig& config = memory_->config();
  const struct {
    uint64_t base, size, flags;
  } regions[] = {{abi::kHostRegion.base, config.host_region_size, kUserRead},
                 {abi::kGuestRegion.base, config.guest_region_size, kUserRead | x86::kWritable}};
  for (const auto& region : regions) {
    uint64_t va = region.base;
    const uint64_t end = region.base + region.size;
    while (va < end && tables_.Lookup(va) != 0) va += abi::kHugePageSize;
    if (va >= end) continue;
    USETL_RETURN_IF_ERROR(tables_.Map(va, va, end - va, region.flags, /*huge=*/true));
  }
  return Status();
}

int AddressSpace::Apply(const std::vector<abi::RangeRequest>& requests, bool* switched) {
  tables_.BeginBatch();
  int error = 0;
  for (const abi::RangeRequest& request : requests) {
    error = ApplyOne(request);
    // What does not map goes on where it stopped.
    const bool maps = request.op == abi::RangeOp::kAnonymous || request.op == abi::RangeOp::kShared;
    if (error == -ENOMEM && !maps && RecycleTables().ok()) error = ApplyOne(request);
    if (error != 0) break;
  }
  *switched = tables_.EndBatch();
  return error;
}

int AddressSpace::MakeRoom(uint64_t length) {
  // Two paths, and a table at each end.
  const uint64_t wanted = (length / abi::kHugePageSize + 8) * kPageSize;
  if (tables_.free() >= wanted) return 0;
  if (wanted > abi::kTableArena.size) return -ENOMEM;
  // Else it may fit all the same, and fails where it does not.
  if (tables_.Recyclable(kept_tables_) < kLeastGain) return 0;
  return RecycleTables().ok() ? 0 : -EIO;
}

int AddressSpace::TakeBack(uint64_t begin, uint64_t end) {
  const abi::RangeRequest done{abi::RangeOp::kUnmap, 0, begin, end - begin, 0};
  int error = Unmap(done);
  if (error != 0 && RecycleTables().ok()) error = Unmap(done);
  return error == 0 ? -ENOMEM : -EIO;
}

Status AddressSpace::RecycleTables() {
  USETL_RETURN_IF_ERROR(memory_->RenewTables(machine_));
  tables_.Recycle(kept_tables_);
  return Status();
}

int AddressSpace::ApplyOne(const abi::RangeRequest& r) {
  if (!Aligned(r) || r.protection > 7) return -EINVAL;
  if ((r.protection & abi::kProtWrite) && (r.protection & abi::kProtExec)) return -EACCES;
  const uint64_t flags = FlagsOf(r.protection);
  switch (r.op) {
    case abi::RangeOp::kAnonymous:
      return InZoneC(r) ? MapAnonymous(r, flags) : -EINVAL;
    case abi::RangeOp::kShared:
      return InZoneC(r) ? MapShared(r, flags) : -EINVAL;
    case abi::RangeOp::kProtect: {
      const abi::Window heap{abi::kHeapBase, abi::kRam.base + memory_->ram_size() - abi::kHeapBase};
      if (!InZoneC(r) && !heap.Contains(r.va, r.length)) return -EINVAL;
      // A page of a pack or the host region must not become writable, nor one of the guest region,
      // which is writable at its own address, code.
      const uint64_t end = (r.protection & kWriteOrExec) ? r.va + r.length : r.va;
      for (uint64_t va = tables_.NextPresent(r.va, end); va < end;
           va = tables_.NextPresent(va + kPageSize, end)) {
        const uint64_t page = tables_.Lookup(va) & x86::kAddressMask;
        if (abi::kFrames.Contains(page, 1) || abi::kRam.Contains(page, 1)) continue;
        const bool code = (r.protection & abi::kProtExec) != 0;
        if (abi::kGuestRegion.Contains(page, 1) == code) return -EACCES;
      }
      return tables_.Protect(r.va, r.length, flags).ok() ? 0 : -ENOMEM;
    }
    case abi::RangeOp::kUnmap:
      return InZoneC(r) ? Unmap(r) : -EINVAL;
  }
  return -EINVAL;
}

uint64_t AddressSpace::TakeFrame() {
  if (!free_frames_.empty()) {
    const uint64_t frame = free_frames_.back();
    free_frames_.pop_back();
    std::memset(memory_->frames() + (frame - abi::kFrames.base), 0, kPageSize);
    const uint64_t page = (frame - abi::kFrames.base) / kPageSize;
    if (page < is_host_written_.size() && !is_host_written_[page]) {
      is_host_written_[page] = true;
      host_written_.push_back(frame);
    }
    return frame;
  }
  if (frames_used_ + kPageSize > memory_->frames_size()) {
    constexpr uint64_t kStep = 64 << 20;
    if (!memory_->GrowFrames(memory_->frames_size() + kStep, machine_).ok()) return 0;
  }
  const uint64_t frame = abi::kFrames.base + frames_used_;
  frames_used_ += kPageSize;
  return frame;
}

int AddressSpace::MapAnonymous(const abi::RangeRequest& r, uint64_t flags) {
  const uint64_t end = r.va + r.length;
  if (tables_.NextPresent(r.va, end) != end) return -EEXIST;
  const uint64_t frames = memory_->config().frames_limit - frames_used_;
  if (r.length > frames + free_frames_.size() * kPageSize) return -ENOMEM;
  if (const int error = MakeRoom(r.length); error != 0) return error;
  for (uint64_t va = r.va; va < end; va += kPageSize) {
    const uint64_t frame = TakeFrame();
    if (frame != 0 && tables_.Map(va, frame, kPageSize, flags, /*huge=*/false).ok()) continue;
    if (frame != 0) free_frames_.push_back(frame);
    return TakeBack(r.va, va);
  }
  return 0;
}

int AddressSpace::MapShared(const abi::RangeRequest& r, uint64_t flags) {
  const MemoryConfig& config = memory_->config();
  bool writable_source = false;
  bool known =
      abi::Window{abi::kHostRegion.base, config.host_region_size}.Contains(r.gpa, r.length);
  for (const auto* packs : {&memory_->packs(), &memory_->image_packs()}) {
    for (const abi::Window& pack : *packs) known = known || pack.Contains(r.gpa, r.length);
  }
  if (abi::Window{abi::kGuestRegion.base, config.guest_region_size}.Contains(r.gpa, r.length)) {
    known = writable_source = true;
  }
  if (!known) return -EINVAL;
  if ((flags & x86::kWritable) && !writable_source) return -EACCES;
  // The guest region is writable at its own address: executing it would break W^X.
  if (!(flags & x86::kNoExecute) && writable_source) return -EACCES;
  if (tables_.NextPresent(r.va, r.va + r.length) != r.va + r.length) return -EEXIST;
  if (const int error = MakeRoom(r.length); error != 0) return error;
  if (tables_.Map(r.va, r.gpa, r.length, flags, /*huge=*/false).ok()) return 0;
  return TakeBack(r.va, r.va + r.length);
}

int AddressSpace::Unmap(const abi::RangeRequest& r) {
  std::vector<uint64_t> freed;
  const Status unmapped = tables_.Unmap(r.va, r.length, &freed);
  for (const uint64_t page : freed) {
    if (abi::kFrames.Contains(page, kPageSize)) free_frames_.push_back(page);
  }
  return unmapped.ok() ? 0 : -ENOMEM;
}

int AddressSpace::GrowRam(uint64_t size) {
  if (size <= ram_mapped_) return 0;
  if (size > abi::kRam.size) return -ENOMEM;
  // The limit of this function, at most the one that the USF was made with, which GrowRam() knows.
  if (abi::kRam.base + size > memory_->host_page().ram_limit) return -ENOMEM;
  if (MakeRoom(0) != 0 || !memory_->GrowRam(size, machine_).ok()) return -ENOMEM;
  const uint64_t at = abi::kRam.base + ram_mapped_;  // more, where that failed before
  constexpr uint64_t kUserData = x86::kUser | x86::kNoExecute | x86::kWritable;
  const uint64_t length = memory_->ram_size() - ram_mapped_;
  if (!tables_.Map(at, at, length, kUserData, /*huge=*/true).ok()) return -ENOMEM;
  ram_mapped_ = memory_->ram_size();
  memory_->host_page().ram_end = abi::kRam.base + ram_mapped_;
  return 0;
}

Status AddressSpace::Reset(const AddressSpaceState& snapshot) {
  tables_.Reset(snapshot.root);
  kept_tables_ = snapshot.tables_used;
  frames_used_ = snapshot.frames_used;
  free_frames_.clear();
  host_written_.clear();
  is_host_written_.assign(is_host_written_.size(), false);
  // The next function has a quarter of the arena at least, as has a clone.
  return tables_.free() < abi::kTableArena.size / 4 ? RecycleTables() : Status();
}

Status AddressSpace::Compact(std::vector<uint8_t>* arena, AddressSpaceState* state) const {
  arena->assign(abi::kTableArena.size, 0);
  PageTables dense(arena->data(), 0, 0);
  USETL_RETURN_IF_ERROR(dense.Start());
  // Walks present leaves; unmapped gaps are stepped over by their table's size.
  for (uint64_t va = 0; va < abi::kMapped.end();) {
    uint64_t step = 0;
    const uint64_t entry = tables_.LookupStep(va, &step);
    if (entry != 0) {
      const uint64_t flags = entry & (x86::kUser | x86::kWritable | x86::kNoExecute);
      USETL_RETURN_IF_ERROR(
          dense.Map(va, entry & x86::kAddressMask, step, flags, (entry & x86::kHuge) != 0));
    }
    va += step;
  }
  *state = {dense.root(), dense.used(), frames_used_};
  return Status();
}

}  // namespace usetl
