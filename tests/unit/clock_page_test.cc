#include "vmm/usf/clock_page.h"

#include <gtest/gtest.h>
#include <time.h>
#include <x86intrin.h>

#include <cstdlib>
#include <memory>

namespace usetl {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kKhz = 2'000'000;  // any: what it is wrong by does not show in these tests
constexpr uint32_t kNominal = (1'000'000ull << 32) / kKhz;

uint64_t HostMonotonic() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * kSecond + now.tv_nsec;
}

// Within what the machine may take from one line to the next.
bool IsNear(uint64_t a, uint64_t b) {
  return std::llabs(static_cast<int64_t>(a - b)) < 60ll * kSecond;
}

std::unique_ptr<abi::HostPage> NewPage() {
  auto page = std::make_unique<abi::HostPage>();
  EXPECT_TRUE(NewGeneration(page.get(), kKhz).ok());
  return page;
}

TEST(ClockPage, IsTheHostsInANewGeneration) {
  const auto page = NewPage();
  EXPECT_EQ(page->generation, 1u);
  EXPECT_EQ(page->clock.seq % 2, 0u);
  EXPECT_EQ(page->clock.mul, kNominal);
  EXPECT_TRUE(IsNear(GuestMonotonic(*page), HostMonotonic()));
  EXPECT_TRUE(IsNear(page->clock.realtime_base, uint64_t(time(nullptr)) * kSecond));
}

// Of a boot before this one the counter was ahead, and the clock as well.
TEST(ClockPage, ForgetsWhatASnapshotSays) {
  for (const uint64_t counter :
       {uint64_t{0}, uint64_t{__rdtsc()} + 3600 * kKhz * 1000, ~uint64_t{0}}) {
    abi::HostPage page{};
    page.clock = {7, 12345, counter, HostMonotonic() + 3600 * kSecond, 1};
    ASSERT_TRUE(NewGeneration(&page, kKhz).ok());
    EXPECT_EQ(page.clock.seq, 8u);
    EXPECT_TRUE(IsNear(GuestMonotonic(page), HostMonotonic()));
  }
}

TEST(ClockPage, JumpsForwardWithTheHost) {
  const auto page = NewPage();
  page->clock.monotonic_base = 1;
  RefreshClock(page.get(), kKhz);
  EXPECT_TRUE(IsNear(GuestMonotonic(*page), HostMonotonic()));
  EXPECT_EQ(page->clock.mul, kNominal);
}

TEST(ClockPage, GoesSlowerWhereItIsAheadAndNeverBack) {
  const auto page = NewPage();
  page->clock.monotonic_base += 3600 * kSecond;
  uint64_t before = GuestMonotonic(*page);
  for (int i = 0; i < 3; ++i) {
    RefreshClock(page.get(), kKhz);
    const uint64_t now = GuestMonotonic(*page);
    EXPECT_GE(now, before);
    before = now;
    EXPECT_EQ(page->clock.mul, kNominal - kNominal / 2048);
  }
  EXPECT_GT(before, HostMonotonic() + 3500 * kSecond);
  EXPECT_TRUE(IsNear(page->clock.realtime_base, uint64_t(time(nullptr)) * kSecond));
}

TEST(ClockPage, BearsALittleDrift) {
  const auto page = NewPage();
  page->clock.mul = 0;  // stands still
  page->clock.monotonic_base = HostMonotonic() + 500'000;
  RefreshClock(page.get(), kKhz);
  EXPECT_EQ(page->clock.mul, kNominal);
}

}  // namespace
}  // namespace usetl
