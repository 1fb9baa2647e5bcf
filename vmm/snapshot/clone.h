// clone.h: a running kernel with its file system, copied into another VM of the same snapshot.
//
// What the application of the original holds (memory, files, threads) stays behind: in the copy
// another program takes its place (guest/kernel/boot/clone.cc). So no more than the kernel's pages
// and the guest region are copied; the host region is shared, which no guest can write.
#ifndef USETL_VMM_SNAPSHOT_CLONE_H_
#define USETL_VMM_SNAPSHOT_CLONE_H_

#include <cstdint>
#include <span>

#include "vmm/snapshot/rollback.h"

namespace usetl {

// An image: which pages of the kernel's RAM differ from the snapshot, one bit each, then a place
// for every page. Pages that do not differ take no memory.
inline constexpr uint64_t kCloneRam = abi::kHeapBase - abi::kRam.base;
inline constexpr uint64_t kCloneImageSize = abi::kPageSize + kCloneRam;

// Copies the kernel's pages into an image of zeroes, and the guest region over another one of the
// same size, all zero. REQUIRES: the vCPU is stopped outside of the kernel, or idle.
Status WriteClone(Vm* vm, std::span<uint8_t> image, std::span<uint8_t> guest_region);

// Makes an idle VM of the same snapshot the copy, ready to run the program of the boot pages. It
// can never be rolled back. `image` was written by a stranger: it decides what the guest sees, and
// nothing else.
Status BecomeClone(Vm* vm, Rollback* rollback, std::span<const uint8_t> image);

}  // namespace usetl

#endif  // USETL_VMM_SNAPSHOT_CLONE_H_
