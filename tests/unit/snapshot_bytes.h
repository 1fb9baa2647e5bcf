// snapshot_bytes.h: a snapshot that nobody took: sound, with one page of a table each.
#ifndef USETL_TESTS_UNIT_SNAPSHOT_BYTES_H_
#define USETL_TESTS_UNIT_SNAPSHOT_BYTES_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

#include "vmm/platform/x86.h"
#include "vmm/snapshot/snapshot.h"

namespace usetl::test {

inline constexpr uint64_t kSnapshotTables =
    (sizeof(SnapshotIndex) + abi::kPageSize - 1) / abi::kPageSize * abi::kPageSize;
inline constexpr uint64_t kSnapshotArena =
    kSnapshotTables + abi::kTableArena.base - abi::kTables.base;
inline constexpr uint64_t kSnapshotControl = kSnapshotTables + abi::kTables.size;

inline std::vector<uint8_t> SnapshotBytes() {
  std::vector<uint8_t> bytes(kSnapshotControl + kControlImageSize);
  PageTables tables(bytes.data() + kSnapshotArena, 0, 0);
  EXPECT_TRUE(tables.Start().ok());
  EXPECT_TRUE(
      tables.Map(abi::kMapped.base, abi::kFrames.base, abi::kPageSize, x86::kUser, false).ok());
  auto& index = *reinterpret_cast<SnapshotIndex*>(bytes.data());
  index.magic = SnapshotIndex::kMagic;
  index.abi_version = abi::kAbiVersion;
  index.size = bytes.size();
  index.cpu_offset = kSnapshotTables;
  index.cpu_size = 8;
  index.tables_offset = kSnapshotTables;
  index.control_offset = kSnapshotControl;
  index.address_space = {tables.root(), tables.used(), 0};
  CpuFingerprint()->copy(index.cpu, sizeof index.cpu - 1);
  return bytes;
}

inline Result<Snapshot> AdoptBytes(const std::vector<uint8_t>& bytes) {
  Result<Fd> file = Snapshot::NewFile();
  if (!file.ok()) return file.status();
  const auto size = static_cast<ssize_t>(bytes.size());
  if (pwrite(file->get(), bytes.data(), bytes.size(), 0) != size) return Status::Errno("pwrite");
  return Snapshot::Adopt(file->Release());
}

}  // namespace usetl::test

#endif  // USETL_TESTS_UNIT_SNAPSHOT_BYTES_H_
