#include "cri/store/store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/unit/temporary_directory.h"

namespace usetl::cri {
namespace {

ContainerRecord Numbered(int64_t number) {
  ContainerRecord record;
  record.set_id("0123456789abcdef");
  record.set_created_at(number);
  record.set_started_at(number);
  record.set_reason(std::to_string(number));
  return record;
}

// Under ThreadSanitizer it also shows that a record's last reader is done before it goes.
TEST(Store, ReadersSeeWholeRecordsWhileTheyChange) {
  constexpr int64_t kChanges = 2000;
  const test::TemporaryDirectory directory;
  Result<std::unique_ptr<Store>> opened = Store::Open(directory.path() / "state.db");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  Store& store = **opened;
  ASSERT_TRUE(store.Add(Numbered(1)).ok());
  const std::shared_ptr<Container> entry = store.FindContainer("0123");
  ASSERT_NE(entry, nullptr);

  std::atomic<int> torn = 0, turned_back = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      for (int64_t last = 0; last < kChanges;) {
        const std::shared_ptr<const ContainerRecord> record = entry->Get();
        const int64_t now = record->created_at();
        if (record->started_at() != now || record->reason() != std::to_string(now)) ++torn;
        if (now < last) ++turned_back;
        last = now;
        if (store.Containers().size() != 1) ++torn;
      }
    });
  }
  for (int64_t number = 2; number <= kChanges; ++number) {
    const std::lock_guard lock(entry->verb);
    store.Remember(Numbered(number));
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(turned_back, 0);
}

}  // namespace
}  // namespace usetl::cri
