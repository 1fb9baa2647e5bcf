// Any bytes: CheckPack() refuses them or every entry can be used.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "vmm/pack/pack_reader.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using usetl::abi::PackEntry;
  using usetl::abi::PackHeader;
  using usetl::abi::PackType;
  // Mapped files are aligned; so is this, and it ends where the input does.
  const std::vector<uint8_t> copy(data, data + size);
  if (!usetl::pack::CheckPack(copy, false).ok()) return 0;
  const auto* header = reinterpret_cast<const PackHeader*>(copy.data());
  const auto* entries = reinterpret_cast<const PackEntry*>(header + 1);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < header->entry_count; ++i) {
    const PackEntry& entry = entries[i];
    for (uint64_t at = 0; at < entry.name_size; ++at) sum += copy[entry.name_offset + at];
    Require(i == 0 ? entry.parent == 0 : entry.parent < i);
    Require(entry.hard_link <= i);
    if (entry.type == PackType::kRegular || entry.type == PackType::kSymlink) {
      Require(entry.offset <= size && entry.size <= size - entry.offset);
      if (entry.size > 0) sum += copy[entry.offset] + copy[entry.offset + entry.size - 1];
    } else if (entry.type != PackType::kWhiteout) {
      Require(entry.offset <= header->entry_count);
      Require(entry.size <= header->entry_count - entry.offset);
    }
  }
  volatile uint64_t sink = sum;
  (void)sink;
  return 0;
}
