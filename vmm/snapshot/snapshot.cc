#include "vmm/snapshot/snapshot.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cstring>
#include <memory>

namespace usetl {
namespace {

constexpr uint64_t kPage = abi::kPageSize;

uint64_t PageUp(uint64_t v) { return (v + kPage - 1) & ~(kPage - 1); }

bool IsZero(const uint8_t* page) {
  return page[0] == 0 && std::memcmp(page, page + 1, kPage - 1) == 0;
}

// Which pages of [base, base+size) have ever been touched: the others are zero, and reading them
// would make the kernel allocate.
Result<std::vector<uint64_t>> ReadPagemap(int pagemap, const uint8_t* base, uint64_t size) {
  std::vector<uint64_t> map(size / kPage);
  const auto offset = static_cast<off_t>(reinterpret_cast<uint64_t>(base) / kPage * 8);
  const auto bytes = static_cast<ssize_t>(map.size() * 8);
  if (pread(pagemap, map.data(), bytes, offset) != bytes) {
    return Status::Errno("read /proc/self/pagemap");
  }
  return map;
}

// Appends the runs of pages that are not zero. Runs that are close are joined: fewer mappings.
Status FindRuns(int pagemap, uint32_t part, const uint8_t* base, uint64_t size,
                SnapshotIndex* index, uint64_t* offset) {
  Result<std::vector<uint64_t>> map = ReadPagemap(pagemap, base, size);
  if (!map.ok()) return map.status();
  constexpr uint64_t kPresentOrSwapped = 3ull << 62;
  constexpr uint64_t kJoin = 16;
  uint64_t first = ~0ull, last = 0;
  const auto emit = [&]() -> Status {
    if (first == ~0ull) return Status();
    if (index->run_count == SnapshotIndex::kMaxRuns) {
      return Status(E2BIG, "the snapshot's memory is too scattered");
    }
    const auto count = static_cast<uint32_t>(last + 1 - first);
    index->runs[index->run_count++] = {part, static_cast<uint32_t>(first), count, 0, *offset};
    *offset += count * kPage;
    return Status();
  };
  for (uint64_t page = 0; page < map->size(); ++page) {
    if (!((*map)[page] & kPresentOrSwapped) || IsZero(base + page * kPage)) continue;
    if (first != ~0ull && page - last > kJoin) {
      USETL_RETURN_IF_ERROR(emit());
      first = ~0ull;
    }
    if (first == ~0ull) first = page;
    last = page;
  }
  return emit();
}

Status Seal(int fd) {
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  return fcntl(fd, F_ADD_SEALS, kSeals) == 0 ? Status() : Status::Errno("sealing a snapshot");
}

}  // namespace

Snapshot::~Snapshot() {
  if (fd_ >= 0) close(fd_);
}

Snapshot::Snapshot(Snapshot&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), clean_(std::move(other.clean_)) {}

Status Snapshot::TooLarge(uint64_t size) {
  return Status(E2BIG, "a snapshot of " + std::to_string(size >> 20) + " MB, at most " +
                           std::to_string(kMostSize >> 20) +
                           " MB are allowed: the image loads too much when its Python starts");
}

Result<Fd> Snapshot::NewFile() {
  Fd file(memfd_create("usetl-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.ok()) return Status::Errno("memory for a snapshot");
  return file;
}

Result<Snapshot> Snapshot::Take(Vm* vm, const std::vector<Digest>& packs, const Digest& kernel,
                                int pagemap, Fd file) {
  USETL_RETURN_IF_ERROR(vm->machine().CompleteExit());
  Result<CpuState> cpu = vm->machine().SaveCpu();
  if (!cpu.ok()) return cpu.status();
  GuestMemory& memory = vm->memory();
  auto index = std::make_unique<SnapshotIndex>();
  std::vector<uint8_t> arena;
  USETL_RETURN_IF_ERROR(vm->address_space().Compact(&arena, &index->address_space));
  // The compact tables have another root than the vCPU's state says.
  USETL_RETURN_IF_ERROR(vm->machine().PatchRoot(&*cpu, index->address_space.root));

  index->magic = SnapshotIndex::kMagic;
  index->abi_version = abi::kAbiVersion;
  index->ram_size = memory.ram_size();
  index->frames_size = memory.frames_size();
  index->pack_count = packs.size();
  if (packs.size() > std::size(index->packs)) return Status(E2BIG, "too many layers");
  std::copy(packs.begin(), packs.end(), index->packs);
  index->kernel = kernel;
  Result<std::string> fingerprint = CpuFingerprint();
  if (!fingerprint.ok()) return fingerprint.status();
  fingerprint->copy(index->cpu, sizeof index->cpu - 1);

  const uint64_t table_head = abi::kTableArena.base - abi::kTables.base;
  uint64_t offset = PageUp(sizeof *index);
  index->cpu_offset = offset;
  index->cpu_size = cpu->size();
  offset += PageUp(cpu->size());
  index->tables_offset = offset;
  offset += abi::kTables.size;
  index->control_offset = offset;
  offset += PageUp(kControlImageSize);
  USETL_RETURN_IF_ERROR(
      FindRuns(pagemap, PageRun::kRam, memory.ram(), memory.ram_size(), index.get(), &offset));
  USETL_RETURN_IF_ERROR(FindRuns(pagemap, PageRun::kFrames, memory.frames(), memory.frames_size(),
                                 index.get(), &offset));
  index->size = offset;

  if (offset > kMostSize) return TooLarge(offset);
  if (ftruncate(file.get(), static_cast<off_t>(offset)) != 0) {
    return Status::Errno("sizing a snapshot");
  }
  const auto put = [&](uint64_t at, const void* bytes, uint64_t size) -> Status {
    const auto* from = static_cast<const uint8_t*>(bytes);
    while (size > 0) {
      const ssize_t n = pwrite(file.get(), from, size, static_cast<off_t>(at));
      if (n <= 0) return Status::Errno("writing a snapshot to memory");
      from += n, at += n, size -= n;
    }
    return Status();
  };
  USETL_RETURN_IF_ERROR(put(0, index.get(), sizeof *index));
  USETL_RETURN_IF_ERROR(put(index->cpu_offset, cpu->data(), cpu->size()));
  USETL_RETURN_IF_ERROR(put(index->tables_offset, memory.tables(), table_head));
  USETL_RETURN_IF_ERROR(
      put(index->tables_offset + table_head, arena.data(), index->address_space.tables_used));
  USETL_RETURN_IF_ERROR(
      put(index->control_offset, memory.control(), abi::kBootOffset + abi::kBootSize));
  USETL_RETURN_IF_ERROR(put(index->control_offset + abi::kBootOffset + abi::kBootSize,
                            &memory.guest_page(), abi::kGuestPageSize));
  for (uint32_t i = 0; i < index->run_count; ++i) {
    const PageRun& run = index->runs[i];
    const uint8_t* base = run.part == PageRun::kRam ? memory.ram() : memory.frames();
    USETL_RETURN_IF_ERROR(put(run.offset, base + uint64_t{run.first} * kPage, run.count * kPage));
  }
  USETL_RETURN_IF_ERROR(Seal(file.get()));
  return Adopt(file.Release());
}

Result<Snapshot> Snapshot::Adopt(int fd) {
  Snapshot snapshot;
  snapshot.fd_ = fd;
  const off_t size = lseek(fd, 0, SEEK_END);
  if (size < static_cast<off_t>(sizeof(SnapshotIndex))) {
    return Status(EINVAL, "the snapshot is too short");
  }
  if (size > static_cast<off_t>(kMostSize)) return TooLarge(size);
  void* clean = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (clean == MAP_FAILED) return Status::Errno("mapping a snapshot");
  snapshot.clean_ = Mapping(clean, size);
  // Where the file has 2 MB pages. No more than a wish: a kernel without them refuses it.
  (void)madvise(clean, size, MADV_HUGEPAGE);
  USETL_RETURN_IF_ERROR(snapshot.CheckBounds());
  return snapshot;
}

Status Snapshot::CheckVersion(const SnapshotIndex& i) {
  if (i.magic != SnapshotIndex::kMagic) {
    return Status(EINVAL, "the snapshot is damaged; bake the runtime again");
  }
  if (i.abi_version != abi::kAbiVersion) {
    return Status(EPROTO, "the snapshot was baked by another version; bake the runtime again");
  }
  return Status();
}

Status Snapshot::CheckBounds() const {
  const SnapshotIndex& i = index();
  const Status bad(EINVAL, "the snapshot is damaged; bake the runtime again");
  const abi::Window file{0, clean_.size()};
  USETL_RETURN_IF_ERROR(CheckVersion(i));
  if (i.size != clean_.size()) return bad;
  if (i.run_count > SnapshotIndex::kMaxRuns || i.pack_count > std::size(i.packs)) return bad;
  if (!file.Contains(i.cpu_offset, i.cpu_size) ||
      !file.Contains(i.tables_offset, abi::kTables.size) ||
      !file.Contains(i.control_offset, kControlImageSize) || i.tables_offset % kPage != 0) {
    return bad;
  }
  if (i.ram_size > abi::kRam.size || i.frames_size > abi::kFrames.size || i.ram_size % kPage != 0 ||
      i.frames_size % kPage != 0 || i.address_space.frames_used > i.frames_size ||
      i.address_space.frames_used % kPage != 0) {
    return bad;
  }
  // A usf process walks and extends them before it is in its jail.
  const uint8_t* arena =
      clean_.data() + i.tables_offset + abi::kTableArena.base - abi::kTables.base;
  if (!PageTables::AreSound(arena, i.address_space.root, i.address_space.tables_used)) return bad;
  for (uint32_t r = 0; r < i.run_count; ++r) {
    const PageRun& run = i.runs[r];
    const uint64_t limit = run.part == PageRun::kRam ? i.ram_size : i.frames_size;
    const uint64_t end = (uint64_t{run.first} + run.count) * kPage;
    if (run.part > PageRun::kFrames || run.count == 0 || end > limit || run.offset % kPage != 0 ||
        !file.Contains(run.offset, run.count * kPage)) {
      return bad;
    }
  }
  return Status();
}

CpuState Snapshot::cpu() const {
  const uint8_t* at = clean_.data() + index().cpu_offset;
  return CpuState(at, at + index().cpu_size);
}

Result<std::unique_ptr<Vm>> Snapshot::Start(VmConfig config) const {
  const SnapshotIndex& i = index();
  config.memory.ram_size = i.ram_size;
  config.memory.frames_size = i.frames_size;
  config.memory.ram_limit = std::max(config.memory.ram_limit, i.ram_size);
  config.memory.frames_limit = std::max(config.memory.frames_limit, i.frames_size);
  Result<std::unique_ptr<Vm>> created = Vm::Create(config);
  if (!created.ok()) return created.status();
  Vm& vm = **created;
  GuestMemory& memory = vm.memory();
  const auto map = [&](uint8_t* at, uint64_t size, uint64_t offset) -> Status {
    if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd_,
             static_cast<off_t>(offset)) == MAP_FAILED) {
      return Status::Errno("mapping a snapshot's memory");
    }
    return Status();
  };
  const uint64_t tables =
      PageUp(abi::kTableArena.base - abi::kTables.base + i.address_space.tables_used);
  USETL_RETURN_IF_ERROR(map(memory.tables(), tables, i.tables_offset));
  for (uint32_t r = 0; r < i.run_count; ++r) {
    const PageRun& run = i.runs[r];
    uint8_t* base = run.part == PageRun::kRam ? memory.ram() : memory.frames();
    USETL_RETURN_IF_ERROR(map(base + uint64_t{run.first} * kPage, run.count * kPage, run.offset));
  }
  const uint8_t* control = clean_.data() + i.control_offset;
  std::memcpy(memory.control(), control, abi::kBootOffset + abi::kBootSize);
  std::memcpy(&memory.guest_page(), control + abi::kBootOffset + abi::kBootSize,
              abi::kGuestPageSize);
  vm.WriteHostPage();
  USETL_RETURN_IF_ERROR(vm.Adopt(i.address_space, cpu()));
  return created;
}

}  // namespace usetl
