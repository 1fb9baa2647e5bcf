// GDT, IDT and TSS: every way in is at CPL3, on a stack of the kernel, and two ports are open.
#include "vmm/usf/descriptor_tables.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

#include "vmm/abi/layout.h"
#include "vmm/platform/x86.h"

namespace usetl {
namespace {

struct DescriptorTablesTest : testing::Test {
  DescriptorTablesTest() {
    for (int i = 0; i < kFaultVectors; ++i) handlers[i] = 0x1234'5678'9ab0'0000 + 16 * i;
    for (int i = 0; i < kIstStacks; ++i) stacks[i] = 0x4000'0000 + 4096 * i;
    WriteDescriptorTables(tables.data(), handlers, stacks);
  }
  template <typename T>
  T At(uint64_t gpa) const {
    T value;
    std::memcpy(&value, tables.data() + (gpa - abi::kTables.base), sizeof value);
    return value;
  }

  std::array<uint64_t, kFaultVectors> handlers;
  std::array<uint64_t, kIstStacks> stacks;
  std::vector<uint8_t> tables = std::vector<uint8_t>(abi::kTableArena.base - abi::kTables.base);
};

TEST_F(DescriptorTablesTest, GatesEnterTheirHandlerAtCpl3) {
  for (int v = 0; v < kFaultVectors; ++v) {
    const auto low = At<uint64_t>(abi::kIdt + 16 * v), high = At<uint64_t>(abi::kIdt + 16 * v + 8);
    EXPECT_EQ((low & 0xffff) | (low >> 48) << 16 | high << 32, handlers[v]) << v;
    EXPECT_EQ(low >> 16 & 0xffff, x86::kUserCode) << v;
    EXPECT_EQ(low >> 40 & 0xff, 0xeeu) << v;  // interrupt gate, present, DPL 3
    const uint64_t stack = low >> 32 & 0xff;
    EXPECT_TRUE(stack >= 1 && stack <= kIstStacks) << v;
  }
  for (uint64_t at = abi::kIdt + x86::kIdtBytes; at < abi::kTss; ++at) {
    ASSERT_EQ(At<uint8_t>(at), 0) << at;
  }
}

TEST_F(DescriptorTablesTest, AFaultWithinAnotherHasAStackOfItsOwn) {
  const auto stack_of = [&](int vector) { return At<uint8_t>(abi::kIdt + 16 * vector + 4); };
  for (const int a : {1, 3, 6, 8, 13, 14}) {
    for (int b = 0; b < kFaultVectors; ++b) {
      if (a != b) {
        EXPECT_NE(stack_of(a), stack_of(b)) << a << " " << b;
      }
    }
  }
  for (int i = 0; i < kIstStacks; ++i) EXPECT_EQ(At<uint64_t>(abi::kTss + 36 + 8 * i), stacks[i]);
}

TEST_F(DescriptorTablesTest, DescriptorsAreAsTheirSelectorsSay) {
  EXPECT_EQ(At<uint64_t>(abi::kGdt), 0u);
  // DPL and kind: bits 40-47; accessed, so that the processor does not write it.
  const auto kind = [&](int selector) {
    return At<uint64_t>(abi::kGdt + (selector & ~7)) >> 40 & 0xff;
  };
  EXPECT_EQ(kind(x86::kUserCode), 0xfbu);
  EXPECT_EQ(kind(x86::kUserData), 0xf3u);
  EXPECT_EQ(kind(x86::kKernelCode), 0x9bu);
  const auto low = At<uint64_t>(abi::kGdt + x86::kTssSelector),
             high = At<uint64_t>(abi::kGdt + x86::kTssSelector + 8);
  EXPECT_EQ((low >> 16 & 0xffffff) | (low >> 56) << 24 | high << 32, abi::kTss);
  EXPECT_EQ((low & 0xffff) | (low >> 48 & 0xf) << 16, abi::kTssSize - 1);
  EXPECT_EQ(kind(x86::kTssSelector), 0x8bu);
}

TEST_F(DescriptorTablesTest, TwoPortsAreOpen) {
  const uint64_t bitmap = abi::kTss + At<uint16_t>(abi::kTss + 102);
  std::vector<int> open;
  for (int port = 0; port < 0x10000; ++port) {
    if (!(At<uint8_t>(bitmap + port / 8) >> port % 8 & 1)) open.push_back(port);
  }
  EXPECT_EQ(open, (std::vector<int>{abi::kCallPort, abi::kKickPort}));
  // The processor reads one byte more.
  EXPECT_EQ(At<uint8_t>(bitmap + 0x2000), 0xff);
  EXPECT_LE(bitmap + 0x2000, abi::kTss + abi::kTssSize - 1);
}

}  // namespace
}  // namespace usetl
