// page_tables.h: the guest's page tables, written by the host alone.
//
// KVM does not see edits of guest page tables and nobody can flush a TLB at CPL3. So an entry that
// the guest may have used is never changed in place: a narrowing, removal or remap copies the path
// PML4..PT into arena pages that nothing is derived from and makes a new root. Filling an empty
// entry and widening a protection need no flush and happen in place. vmm/abi/README.md has the
// rule, and what happens when the arena is full.
#ifndef USETL_VMM_USF_PAGE_TABLES_H_
#define USETL_VMM_USF_PAGE_TABLES_H_

#include <array>
#include <cstdint>
#include <vector>

#include "vmm/abi/layout.h"
#include "vmm/base/status.h"

namespace usetl {

class PageTables {
 public:
  // `arena` is the host's address of abi::kTableArena; pages before `used` hold tables already.
  PageTables(uint8_t* arena, uint64_t root, uint64_t used);
  // Whether these may be given to the above, whoever wrote them: all tables that `root` leads to
  // lie in the first `used` bytes of the arena.
  static bool AreSound(const uint8_t* arena, uint64_t root, uint64_t used);

  // Starts an empty root. REQUIRES: an unused arena.
  Status Start();

  // A leaf entry, or 0.
  uint64_t Lookup(uint64_t va) const;
  // The same; `step` is how many bytes from `va` on share the answer (an entry, or an empty gap).
  uint64_t LookupStep(uint64_t va, uint64_t* step) const;

  // The first page from `va` on that is present; `end` when there is none before it.
  uint64_t NextPresent(uint64_t va, uint64_t end) const;

  // Puts pages behind [va, va+length) from `gpa` on; entries must be empty. `flags` are x86 bits
  // besides present, accessed and dirty, which are preset (KVM would write them otherwise).
  // 2 MB entries are used where `huge` and the alignment allows.
  Status Map(uint64_t va, uint64_t gpa, uint64_t length, uint64_t flags, bool huge);

  // Changes the flags of what is present in the range; a narrowing copies.
  Status Protect(uint64_t va, uint64_t length, uint64_t flags);

  // Empties the range; the guest-physical pages that were there are appended to `freed`.
  Status Unmap(uint64_t va, uint64_t length, std::vector<uint64_t>* freed);

  // One batch of edits shares the copied paths. EndBatch says whether CR3 must be switched.
  void BeginBatch() { batch_start_ = used_; }
  bool EndBatch();

  uint64_t root() const { return root_; }  // guest-physical address for CR3
  uint64_t used() const { return used_; }  // arena bytes in use, or that were
  uint64_t free() const { return abi::kTableArena.size - used_; }
  // Brings the root of the snapshot back. Tables made since stay unused until Recycle(), and those
  // that the root reaches are frozen: the first edit of a run copies them, so nothing of the run
  // survives it.
  void Reset(uint64_t root);
  // Gathers the tables in use behind the first `kept` bytes of the arena, which stay as they are
  // and frozen; the rest is free again. REQUIRES: nothing that was derived from the tables is kept
  // anywhere, and the guest stands still until it goes on with root() after EndBatch().
  void Recycle(uint64_t kept);
  // Arena bytes that this would set free.
  uint64_t Recyclable(uint64_t kept) const;

 private:
  uint64_t* Table(uint64_t gpa) const;
  // A zeroed page that nothing was derived from, or 0 when the arena is full.
  uint64_t NewTable();
  bool MustCopy(uint64_t table, bool narrowing) const;
  uint64_t CopyTable(uint64_t table);  // 0: the arena is full
  using TableImage = std::array<uint64_t, 512>;
  // Where `table` will lie behind `kept` bytes, with all that it leads to; appended to `moved`. 0:
  // nothing is in there.
  uint64_t Gather(uint64_t table, int level, uint64_t kept, std::vector<TableImage>* moved) const;
  // Empties the entry of a whole table, as Unmap() does.
  Status UnmapTable(uint64_t va, std::vector<uint64_t>* freed);
  // The entry for `va` at `leaf_level` (0: 4 kB, 1: 2 MB); frozen tables on the way are copied, and
  // with `narrowing` all that are older than this batch. Splits 2 MB entries above the level. Null:
  // the arena is full, or nothing is there and `create` is false.
  uint64_t* Entry(uint64_t va, int leaf_level, bool create, bool narrowing);

  uint8_t* arena_;
  uint64_t root_;
  uint64_t used_;
  uint64_t batch_start_;
  uint64_t frozen_ = 0;  // arena bytes that no edit may touch in place
  uint64_t root_before_ = 0;
};

}  // namespace usetl

#endif  // USETL_VMM_USF_PAGE_TABLES_H_
