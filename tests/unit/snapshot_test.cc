// Snapshots that nobody took: what is refused, and before what work.
#include "vmm/snapshot/snapshot.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "tests/unit/snapshot_bytes.h"
#include "tests/unit/temporary_directory.h"

namespace usetl {
namespace {

constexpr uint64_t kPage = abi::kPageSize;

struct SnapshotTest : testing::Test {
  SnapshotIndex& index() { return *reinterpret_cast<SnapshotIndex*>(bytes.data()); }
  // Of the table at `number` in the arena: 0 is the root, and each has one entry, of the next.
  uint64_t* Table(int number) {
    return reinterpret_cast<uint64_t*>(bytes.data() + test::kSnapshotArena + number * kPage);
  }
  uint64_t* Entry(int number) {
    uint64_t* entry = Table(number);
    while (*entry == 0) ++entry;
    return entry;
  }
  Result<Snapshot> Adopt() { return test::AdoptBytes(bytes); }
  void ExpectDamaged(const char* what) {
    const Status status = Adopt().status();
    EXPECT_EQ(status.code(), EINVAL) << what;
    EXPECT_NE(status.message().find("the snapshot is damaged"), std::string::npos) << what;
  }

  std::vector<uint8_t> bytes = test::SnapshotBytes();
};

TEST_F(SnapshotTest, TablesLieWhereTablesAre) {
  ASSERT_TRUE(Adopt().ok()) << Adopt().status().message();
  const AddressSpaceState sound = index().address_space;
  ASSERT_EQ(sound.tables_used, 4 * kPage);
  for (int level = 0; level < 3; ++level) {
    uint64_t* entry = Entry(level);
    const uint64_t before = *entry;
    const uint64_t bits = before & ~x86::kAddressMask;
    for (const uint64_t page : {uint64_t{0}, abi::kTableArena.base - kPage, x86::kAddressMask,
                                abi::kTableArena.base + sound.tables_used}) {
      *entry = page | bits;
      ExpectDamaged("an entry beside the tables");
    }
    *entry = before;
  }
  *Entry(0) |= x86::kHuge;
  ExpectDamaged("a page of 512 GB");
  *Entry(0) &= ~x86::kHuge;
  for (const uint64_t root : {uint64_t{0}, sound.root + 8, sound.root + sound.tables_used}) {
    index().address_space.root = root;
    ExpectDamaged("a root");
  }
  index().address_space = sound;
  for (const uint64_t used : {uint64_t{0}, sound.tables_used - 1, sound.tables_used - kPage,
                              abi::kTableArena.size + kPage, ~uint64_t{0} << 12}) {
    index().address_space.tables_used = used;
    ExpectDamaged("a size");
  }
  index().address_space = sound;
  EXPECT_TRUE(Adopt().ok());
}

TEST_F(SnapshotTest, TablesMayLeadAround) {
  index().address_space.tables_used = abi::kTableArena.size;
  for (uint64_t table = 0; table < abi::kTableArena.size / kPage; ++table) {
    for (uint64_t i = 0; i < 512; ++i) {
      const uint64_t to = abi::kTableArena.base + (table + i) * kPage % abi::kTableArena.size;
      Table(static_cast<int>(table))[i] = to | x86::kPresent;
    }
  }
  EXPECT_TRUE(Adopt().ok());  // 512^3 ways, which nobody may walk
}

TEST_F(SnapshotTest, HasAMostSize) {
  bytes.resize(Snapshot::kMostSize + kPage);
  index().size = bytes.size();
  EXPECT_EQ(Adopt().status().code(), E2BIG);
}

TEST_F(SnapshotTest, IsRefusedBeforeItsChecksumWhenItDoesNotFit) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() / "snapshot";
  const Digest kernel{1}, other{2};
  index().kernel = kernel;
  const Result<Snapshot> snapshot = Adopt();
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().message();
  ASSERT_TRUE(snapshot->Store(path).ok());
  EXPECT_TRUE(Snapshot::Load(path, {}, kernel).ok());

  const Fd file(open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(pwrite(file.get(), "x", 1, static_cast<off_t>(bytes.size())), 1);
  EXPECT_EQ(Snapshot::Load(path, {}, kernel).status().code(), EINVAL);
  EXPECT_EQ(Snapshot::Load(path, {}, other).status().code(), ESTALE);
  EXPECT_EQ(Snapshot::Load(path, {other}, kernel).status().code(), ESTALE);
  EXPECT_EQ(Snapshot::Load(path, std::vector<Digest>(100), kernel).status().code(), ESTALE);

  constexpr off_t kHeader = 4096;
  const uint64_t large = 1ull << 40;  // a hole
  ASSERT_EQ(ftruncate(file.get(), kHeader + static_cast<off_t>(large)), 0);
  ASSERT_EQ(pwrite(file.get(), &large, sizeof large, 16), static_cast<ssize_t>(sizeof large));
  EXPECT_EQ(Snapshot::Load(path, {}, kernel).status().code(), E2BIG);
  ASSERT_EQ(ftruncate(file.get(), kHeader + 100), 0);
  EXPECT_EQ(Snapshot::Load(path, {}, kernel).status().code(), EINVAL);
}

}  // namespace
}  // namespace usetl
