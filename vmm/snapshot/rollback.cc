#include "vmm/snapshot/rollback.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "vmm/snapshot/page_restore.h"
#include "vmm/usf/clock_page.h"

namespace usetl {
namespace {

constexpr uint8_t kPromoteAfter = 2;
constexpr uint64_t kPage = abi::kPageSize;

// Parts of the control window that hold nothing in the snapshot. Their first bytes are used by
// every run and stay warm; the rest is given back.
struct Scrubbed {
  uint64_t begin, warm, end;
};
constexpr Scrubbed kScrubbed[] = {
    {abi::kToGuestOffset, kPage, abi::kGuestPageOffset},
    {abi::kGuestPageOffset + abi::kGuestPageSize, 0, abi::kToHostOffset},
    {abi::kToHostOffset, kPage, abi::kOutputOffset},
    {abi::kOutputOffset, kPage, abi::kControl.size},
};

// Whether a bit of [first, end) is set.
bool AnySet(const std::vector<uint64_t>& bits, uint64_t first, uint64_t end) {
  for (uint64_t i = first; i < end;) {
    if (i % 64 == 0 && i + 64 <= end && bits[i / 64] == 0) {
      i += 64;
      continue;
    }
    if (bits[i / 64] >> (i % 64) & 1) return true;
    ++i;
  }
  return false;
}

alignas(64) constexpr uint8_t kZero[kPage] = {};

bool IsZero(const uint8_t* page) {
  return page[0] == 0 && std::memcmp(page, page + 1, kPage - 1) == 0;
}

// The host page without what is new in each generation, or belongs to the function that vmmd
// claims the USF for.
abi::HostPage Lasting(const abi::HostPage& whole) {
  abi::HostPage page = whole;
  page.generation = page.ram_limit = 0;
  page.clock = {};
  std::memset(page.entropy, 0, sizeof page.entropy);
  return page;
}

// The first page of a region that is not zero, or `size`. Reads only what its file has: a page that
// is read would be there from then on.
Result<uint64_t> FindData(int fd, const uint8_t* region, uint64_t size) {
  for (uint64_t at = 0; at < size;) {
    const off_t data = lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return size;
    const off_t hole = data < 0 ? data : lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return Status::Errno("looking for what a region has");
    for (at = data / kPage * kPage; at < size && at < static_cast<uint64_t>(hole); at += kPage) {
      if (!IsZero(region + at)) return at;
    }
  }
  return size;
}

}  // namespace

Rollback::Rollback(const Snapshot* snapshot, Vm* vm)
    : snapshot_(snapshot),
      vm_(vm),
      space_(vm->address_space().state()),
      tables_hash_(HashTables()),
      cpu_(snapshot->cpu()),
      host_page_(Lasting(vm->memory().host_page())) {
  GuestMemory& memory = vm->memory();
  host_page_.preempt_rip = host_page_.fault_address = 0;
  const std::span<const PageRun> runs(snapshot->index().runs, snapshot->index().run_count);
  const auto frames = std::ranges::find(runs, PageRun::kFrames, &PageRun::part);
  const size_t in_ram = frames - runs.begin();
  ram_.slot = kRamSlot;
  ram_.memory = memory.ram();
  ram_.pages = memory.config().ram_size / kPage;
  ram_.runs = runs.first(in_ram);
  frames_.slot = kFramesSlot;
  frames_.memory = memory.frames();
  frames_.pages = memory.config().frames_size / kPage;
  frames_.runs = runs.subspan(in_ram);
  control_log_.resize(abi::kControl.size / kPage / 64);
  region_log_.resize((memory.config().guest_region_size / kPage + 63) / 64);
  for (Part* part : {&ram_, &frames_}) {
    part->log.resize((part->pages + 63) / 64);
    part->hot.resize(part->log.size());
    part->streak.resize(part->pages);
  }
}

const uint8_t* Rollback::Clean(Part* part, uint64_t page) const {
  const auto ends_before = [&](const PageRun& run) { return run.first + run.count <= page; };
  size_t& at = part->run;
  const bool in_order = (at == 0 || ends_before(part->runs[at - 1])) &&
                        (at == part->runs.size() || !ends_before(part->runs[at]));
  if (!in_order) at = std::ranges::partition_point(part->runs, ends_before) - part->runs.begin();
  if (at == part->runs.size() || part->runs[at].first > page) return nullptr;
  const PageRun& run = part->runs[at];
  return snapshot_->clean() + run.offset + (page - run.first) * kPage;
}

// What the first root reaches lies in the arena's first part, which nobody writes once the VM runs.
uint64_t Rollback::HashTables() const {
  const uint64_t bytes = abi::kTableArena.base - abi::kTables.base + space_.tables_used;
  const auto* words = reinterpret_cast<const uint64_t*>(vm_->memory().tables());
  uint64_t hash = 0xcbf29ce484222325;
  for (uint64_t i = 0; i < bytes / sizeof *words; ++i) {
    hash = (hash ^ words[i]) * 0x100000001b3;
    hash ^= hash >> 29;
  }
  return hash;
}

void Rollback::ListHotPages(Part* part) const {
  part->hot_pages.clear();
  for (size_t word = 0; word < part->hot.size(); ++word) {
    for (uint64_t bits = part->hot[word]; bits != 0; bits &= bits - 1) {
      const uint64_t page = word * 64 + std::countr_zero(bits);
      const uint8_t* clean = Clean(part, page);
      part->hot_pages.push_back({part->memory + page * kPage, clean != nullptr ? clean : kZero});
    }
  }
}

void Rollback::RestorePage(Part* part, uint64_t page) {
  const uint8_t* clean = Clean(part, page);
  RestorePageLines(part->memory + page * kPage, clean != nullptr ? clean : kZero);
}

Status Rollback::RestorePart(Part* part, RollbackStats* stats) {
  USETL_RETURN_IF_ERROR(vm_->machine().ReadDirtyLog(part->slot, part->log));
  const std::vector<HotPage>& hot = part->hot_pages;
  for (size_t i = 0; i < hot.size(); ++i) {
    // Pages lie apart: the first lines of each cost a walk of the page tables, which may go on
    // while the pages before are compared.
    constexpr size_t kAhead = 4, kStep = 1024;
    for (size_t at = 0; i + kAhead < hot.size() && at < kPage; at += kStep) {
      __builtin_prefetch(hot[i + kAhead].at + at);
      __builtin_prefetch(hot[i + kAhead].clean + at);
    }
    RestorePageLines(hot[i].at, hot[i].clean);
  }
  stats->hot += hot.size();
  std::vector<uint32_t> cold;
  for (size_t word = 0; word < part->log.size(); ++word) {
    for (uint64_t bits = part->log[word] & ~part->hot[word]; bits != 0; bits &= bits - 1) {
      cold.push_back(static_cast<uint32_t>(word * 64 + std::countr_zero(bits)));
    }
  }
  // Long runs of zero pages go back to the system: private memory stays bounded.
  constexpr size_t kDropRun = 64;
  for (size_t i = 0; i < cold.size();) {
    size_t end = i;
    while (end < cold.size() && cold[end] == cold[i] + (end - i) &&
           Clean(part, cold[end]) == nullptr) {
      ++end;
    }
    if (end - i >= kDropRun) {
      if (madvise(part->memory + cold[i] * kPage, (end - i) * kPage, MADV_DONTNEED) != 0) {
        return Status::Errno("madvise of guest memory");
      }
      stats->freed += end - i;
      i = end;
    } else {
      RestorePage(part, cold[i++]);
    }
  }
  stats->cold += cold.size();

  for (const uint32_t page : part->was_dirty) {
    const bool again = part->log[page / 64] >> (page % 64) & 1;
    if (!again) part->streak[page] = 0;
  }
  std::vector<uint64_t> clear(part->log.size());
  size_t first_word = part->log.size(), last_word = 0;
  std::vector<uint32_t> still_cold;
  for (const uint32_t page : cold) {
    if (++part->streak[page] >= kPromoteAfter) {
      part->hot[page / 64] |= 1ull << (page % 64);
      continue;
    }
    still_cold.push_back(page);
    clear[page / 64] |= 1ull << (page % 64);
    first_word = std::min<size_t>(first_word, page / 64);
    last_word = std::max<size_t>(last_word, page / 64);
  }
  if (still_cold.size() != cold.size()) ListHotPages(part);
  part->was_dirty = std::move(still_cold);
  if (first_word > last_word) return Status();
  const uint64_t first = first_word * 64;
  const uint64_t pages = std::min<uint64_t>((last_word + 1) * 64, part->pages) - first;
  return vm_->machine().ClearDirtyLog(part->slot, first, static_cast<uint32_t>(pages),
                                      std::span(clear).subspan(first_word));
}

Status Rollback::RestoreControl() {
  GuestMemory& memory = vm_->memory();
  const uint8_t* image = snapshot_->clean() + snapshot_->index().control_offset;
  const abi::HostPage& clean = *reinterpret_cast<const abi::HostPage*>(image);
  abi::HostPage& page = memory.host_page();
  const uint64_t sent_to_guest = page.to_guest.index;
  page.to_guest = clean.to_guest;
  page.to_host = clean.to_host;
  page.output = clean.output;
  page.preempt_rip = page.fault_address = 0;
  std::memcpy(&memory.guest_page(), image + abi::kBootOffset + abi::kBootSize, abi::kGuestPageSize);
  return ScrubShared(sent_to_guest);
}

// What the guest wrote or was sent outside of its RAM: the rings and the guest region. Only here,
// for until the vCPU stands still it could go on writing.
Status Rollback::ScrubShared(uint64_t sent_to_guest) {
  GuestMemory& memory = vm_->memory();
  // Giving pages back costs 10 us a call, so it is done only where the guest has ever written: bits
  // of these two slots are never cleared.
  USETL_RETURN_IF_ERROR(vm_->machine().ReadDirtyLog(kControlSlot, control_log_));
  for (const Scrubbed& part : kScrubbed) {
    uint8_t* begin = memory.control() + part.begin;
    std::memset(begin, 0, part.warm);
    const bool by_host = part.begin == abi::kToGuestOffset && sent_to_guest > part.warm;
    if (!by_host && !AnySet(control_log_, (part.begin + part.warm) / kPage, part.end / kPage)) {
      continue;
    }
    if (madvise(begin + part.warm, part.end - part.begin - part.warm, MADV_REMOVE) != 0) {
      return Status::Errno("scrubbing the control window");
    }
  }
  const uint64_t size = memory.config().guest_region_size;
  if (size == 0) return Status();
  USETL_RETURN_IF_ERROR(vm_->machine().ReadDirtyLog(kGuestRegionSlot, region_log_));
  if (!AnySet(region_log_, 1, size / kPage)) {
    std::memset(memory.guest_region(), 0, kPage);  // the head of the table
  } else if (madvise(memory.guest_region(), size, MADV_REMOVE) != 0) {
    return Status::Errno("scrubbing the guest region");
  }
  return Status();
}

Result<RollbackStats> Rollback::Run() {
  RollbackStats stats;
  // A doorbell that is still open would move RIP on at the next entry, over the restored state.
  USETL_RETURN_IF_ERROR(vm_->machine().CompleteExit());
  GuestMemory& memory = vm_->memory();
  // Memory that the guest gave back was replaced by fresh pages: the snapshot's mapping returns.
  for (uint64_t page = 0; page < vm_->released.size(); ++page) {
    if (vm_->released[page] && Clean(&ram_, page) != nullptr) RestorePage(&ram_, page);
  }
  vm_->released.clear();
  USETL_RETURN_IF_ERROR(RestorePart(&ram_, &stats));
  USETL_RETURN_IF_ERROR(RestorePart(&frames_, &stats));
  for (const uint64_t frame : vm_->address_space().host_written()) {
    const uint64_t page = (frame - abi::kFrames.base) / kPage;
    if (page < frames_.pages) RestorePage(&frames_, page);
  }
  USETL_RETURN_IF_ERROR(vm_->address_space().Reset(space_));
  USETL_RETURN_IF_ERROR(vm_->UnmapImagePacks());
  USETL_RETURN_IF_ERROR(RestoreControl());
  USETL_RETURN_IF_ERROR(vm_->machine().RestoreCpu(cpu_));
  USETL_RETURN_IF_ERROR(NewGeneration(&memory.host_page(), vm_->tsc_khz()));
  return stats;
}

Status Rollback::RestoreRam(uint64_t pages) {
  USETL_RETURN_IF_ERROR(vm_->machine().ReadDirtyLog(ram_.slot, ram_.log));
  for (uint64_t page = 0; page < pages && page < ram_.pages; ++page) {
    if (ram_.log[page / 64] >> (page % 64) & 1) RestorePage(&ram_, page);
  }
  return Status();
}

Status Rollback::VerifyControl(std::string* what) {
  const GuestMemory& memory = vm_->memory();
  const uint8_t* image = snapshot_->clean() + snapshot_->index().control_offset;
  abi::HostPage now = Lasting(memory.host_page());
  // A USF that has grown serves nobody else.
  if (memory.grown()) now.ram_end = host_page_.ram_end;
  if (std::memcmp(&now, &host_page_, sizeof now) != 0) *what += " host page";
  if (std::memcmp(memory.control() + abi::kBootOffset, image + abi::kBootOffset, abi::kBootSize) !=
      0) {
    *what += " boot pages";
  }
  if (std::memcmp(&memory.guest_page(), image + abi::kBootOffset + abi::kBootSize,
                  abi::kGuestPageSize) != 0) {
    *what += " guest page";
  }
  const MemoryConfig& config = memory.config();
  const struct {
    const char* name;
    int fd;
    const uint8_t* memory;
    uint64_t size;
  } regions[] = {
      {" host", config.host_region_fd, memory.host_region(), config.host_region_size},
      {" guest", config.guest_region_fd, memory.guest_region(), config.guest_region_size}};
  for (const auto& region : regions) {
    const Result<uint64_t> at = FindData(region.fd, region.memory, region.size);
    if (!at.ok()) return at.status();
    if (*at < region.size) {
      *what += std::string(region.name) + " region page " + std::to_string(*at / kPage);
    }
  }
  return Status();
}

Result<std::string> Rollback::Verify() {
  std::string what;
  for (Part* part : {&ram_, &frames_}) {
    for (uint64_t page = 0; page < part->pages; ++page) {
      const uint8_t* now = part->memory + page * kPage;
      const uint8_t* clean = Clean(part, page);
      const bool same = clean != nullptr ? std::memcmp(now, clean, kPage) == 0 : IsZero(now);
      if (same) continue;
      what += std::string(part == &ram_ ? " RAM" : " frame") + " page " + std::to_string(page);
      if (what.size() > 400) return what;
    }
  }
  for (const Scrubbed& part : kScrubbed) {
    for (uint64_t at = part.begin; at < part.end; at += kPage) {
      if (!IsZero(vm_->memory().control() + at)) what += " control window";
    }
  }
  USETL_RETURN_IF_ERROR(VerifyControl(&what));
  if (HashTables() != tables_hash_) what += " page or descriptor tables";
  if (vm_->address_space().root() != space_.root) what += " page-table root";
  if (!vm_->memory().image_packs().empty() || vm_->memory().host_page().image_pack_count != 0) {
    what += " packs of an image";
  }
  Result<std::string> cpu = vm_->machine().CompareCpu(cpu_);
  if (!cpu.ok()) return cpu.status();
  return what + *cpu;
}

}  // namespace usetl
