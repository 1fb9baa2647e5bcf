// rollback.h: brings a used VM back to its snapshot.
//
// Pages are in one of two sets. Hot pages are dirtied by every run: they stay writable and are
// always copied back. The rest is cold: tracked by the dirty log, copied back when dirty and
// re-protected. A cold page that is dirty kPromoteAfter times in a row becomes hot.
#ifndef USETL_VMM_SNAPSHOT_ROLLBACK_H_
#define USETL_VMM_SNAPSHOT_ROLLBACK_H_

#include <span>
#include <string>
#include <vector>

#include "vmm/snapshot/snapshot.h"

namespace usetl {

struct RollbackStats {
  uint64_t hot = 0;    // pages copied back without tracking
  uint64_t cold = 0;   // pages that the log reported
  uint64_t freed = 0;  // pages given back to the system
};

class Rollback {
 public:
  // `snapshot` and `vm` must outlive this.
  Rollback(const Snapshot* snapshot, Vm* vm);

  // REQUIRES: the vCPU is stopped and nobody else touches control window or regions.
  // Memory, tables, registers and control window as in the snapshot; a new generation.
  Result<RollbackStats> Run();

  // Brings the first `pages` pages of RAM back, and nothing else: for a VM that is about to become
  // another one.
  Status RestoreRam(uint64_t pages);

  // Proof: compares all guest memory, control window, tables in use and vCPU state with the
  // snapshot, but for the clock and entropy; both regions must be empty. Empty, or what differs.
  // REQUIRES: Run() and nothing since; the regions' descriptors in the VM's MemoryConfig are open.
  Result<std::string> Verify();

 private:
  struct HotPage {
    uint8_t* at;
    const uint8_t* clean;
  };
  struct Part {
    uint32_t slot;
    uint8_t* memory;
    uint64_t pages;
    std::span<const PageRun> runs;    // of the snapshot, sorted
    size_t run = 0;                   // where the last page was found, or would be
    std::vector<uint64_t> log;        // bitmap
    std::vector<uint64_t> hot;        // bitmap
    std::vector<HotPage> hot_pages;   // the same, in order
    std::vector<uint8_t> streak;      // times in a row that a page was dirty
    std::vector<uint32_t> was_dirty;  // cold pages of the last run
  };
  Status RestorePart(Part* part, RollbackStats* stats);
  // The page in the snapshot; null: zero. Cheap when pages are asked for in order.
  const uint8_t* Clean(Part* part, uint64_t page) const;
  void RestorePage(Part* part, uint64_t page);
  void ListHotPages(Part* part) const;
  Status RestoreControl();
  // `sent_to_guest`: bytes that the worker has put into the ring to the guest.
  Status ScrubShared(uint64_t sent_to_guest);
  // Of Verify(): control window but for the rings, and regions. Appends what differs.
  Status VerifyControl(std::string* what);
  uint64_t HashTables() const;

  const Snapshot* snapshot_;
  Vm* vm_;
  AddressSpaceState space_;  // at birth
  uint64_t tables_hash_;     // of the tables that its root reaches
  CpuState cpu_;
  abi::HostPage host_page_;  // at birth, what lasts of it
  Part ram_;
  Part frames_;
  std::vector<uint64_t> control_log_, region_log_;  // bitmaps
};

}  // namespace usetl

#endif  // USETL_VMM_SNAPSHOT_ROLLBACK_H_
