// snapshot.h: a READY snapshot in memory and on disk.
//
// In memory it is one file that nobody can write and every USF of a runtime maps privately. On disk
// it is the same bytes behind a header with a checksum, the ABI version, the CPU's fingerprint and
// the digests of kernel and packs: refused when any of them differs.
#ifndef USETL_VMM_SNAPSHOT_SNAPSHOT_H_
#define USETL_VMM_SNAPSHOT_SNAPSHOT_H_

#include <array>
#include <string>
#include <vector>

#include "vmm/abi/control.h"
#include "vmm/base/fd.h"
#include "vmm/platform/machine.h"
#include "vmm/usf/vm.h"

namespace usetl {

using Digest = std::array<uint8_t, 32>;

// Pages [first, first+count) of one part of memory, stored at `offset` of the memfd.
struct PageRun {
  enum Part : uint32_t { kRam = 0, kFrames = 1 };
  uint32_t part;
  uint32_t first;
  uint32_t count;
  uint32_t reserved;
  uint64_t offset;
};
static_assert(sizeof(PageRun) == 24);

// What the memfd starts with; fixed size, bounded counts.
struct SnapshotIndex {
  static constexpr uint64_t kMagic = 0x3150'414e'534c'5455;  // "UTLSNAP1"
  static constexpr uint32_t kMaxRuns = 4096;
  uint64_t magic;
  uint32_t abi_version;
  uint32_t run_count;
  uint64_t size;        // of the memfd
  uint64_t cpu_offset;  // vCPU state
  uint64_t cpu_size;
  uint64_t tables_offset;   // the tables window
  uint64_t control_offset;  // host page to end of boot pages, then the guest page
  uint64_t ram_size;        // MemoryConfig at bake
  uint64_t frames_size;
  AddressSpaceState address_space;
  uint64_t pack_count;
  Digest packs[abi::kMaxPacks];
  Digest kernel;
  char cpu[512];           // CpuFingerprint
  PageRun runs[kMaxRuns];  // sorted by part, then page
};

inline constexpr uint64_t kControlImageSize =
    abi::kBootOffset + abi::kBootSize + abi::kGuestPageSize;

// A loaded snapshot. Copies share the memfd.
class Snapshot {
 public:
  // What a node holds in memory for each image that runs; the node's own takes 25 MB.
  static constexpr uint64_t kMostSize = 256 << 20;

  // An empty file in memory, for Take().
  static Result<Fd> NewFile();
  // Takes the state of a VM that has reported kReady into `file`. `pagemap` is this process's
  // /proc/self/pagemap. E2BIG beyond kMostSize.
  static Result<Snapshot> Take(Vm* vm, const std::vector<Digest>& packs, const Digest& kernel,
                               int pagemap, Fd file);
  // Reads and checks a stored one; the Status says what differs and what to do. One that does not
  // fit or is beyond kMostSize costs next to nothing.
  static Result<Snapshot> Load(const std::string& path, const std::vector<Digest>& packs,
                               const Digest& kernel);
  // Adopts the file of one of the above (in usf). Checks bounds, not the checksum.
  static Result<Snapshot> Adopt(int fd);

  // Writes it beside `path` and renames; nothing is left behind on failure.
  Status Store(const std::string& path) const;

  // A VM in the snapshot's state, its dirty log running. Descriptors in `config` as for Vm::Create.
  Result<std::unique_ptr<Vm>> Start(VmConfig config) const;

  int fd() const { return fd_; }
  const SnapshotIndex& index() const { return *reinterpret_cast<SnapshotIndex*>(clean_.data()); }
  // Read-only view of the whole memfd.
  const uint8_t* clean() const { return clean_.data(); }
  CpuState cpu() const;

  ~Snapshot();
  Snapshot(Snapshot&& other) noexcept;
  Snapshot& operator=(Snapshot&&) = delete;

 private:
  Snapshot() = default;
  static Status TooLarge(uint64_t size);
  static Status CheckVersion(const SnapshotIndex& index);
  // Whether a snapshot with this index is of these, before more of it is read.
  static Status CheckOrigin(const SnapshotIndex& index, const std::vector<Digest>& packs,
                            const Digest& kernel);
  Status CheckBounds() const;

  int fd_ = -1;
  Mapping clean_;
};

}  // namespace usetl

#endif  // USETL_VMM_SNAPSHOT_SNAPSHOT_H_
