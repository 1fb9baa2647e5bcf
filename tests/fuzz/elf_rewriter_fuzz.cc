// Any bytes: the rewriter ends, stays inside them and changes nothing but whole sites.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "vmm/abi/layout.h"
#include "vmm/pack/syscall_rewriter.h"

namespace {

bool IsSite(const uint8_t* bytes) {
  uint32_t number;
  std::memcpy(&number, bytes + 1, sizeof(number));
  return bytes[0] == 0xb8 && bytes[5] == 0x0f && bytes[6] == 0x05 &&
         number < usetl::abi::kSyscallCount;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<uint8_t> before(data, data + size);
  std::vector<uint8_t> after = before;
  const auto counts = usetl::pack::RewriteSyscalls(after);
  uint32_t changed = 0;
  for (size_t at = 0; at < size; ++at) {
    if (before[at] == after[at]) continue;
    if (size - at < 7 || !IsSite(before.data() + at)) std::abort();
    ++changed;
    at += 6;
  }
  if (changed != counts.rewritten) std::abort();
  return 0;
}
