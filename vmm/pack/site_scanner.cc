#include "vmm/pack/site_scanner.h"

#include <string.h>

#include <algorithm>
#include <cstring>

#include "vmm/abi/layout.h"

namespace usetl::pack {
namespace {

constexpr size_t kMoveSize = 5;      // b8 imm32
constexpr size_t kSiteSize = 7;      // with 0f 05
constexpr size_t kShortReach = 160;  // farther than a site and a branch of 8 bits
constexpr uint8_t kSyscall[] = {0x0f, 0x05};

template <typename T>
T Load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

bool IsMoveOfNumber(const uint8_t* bytes) {
  return bytes[0] == 0xb8 && Load<uint32_t>(bytes + 1) < abi::kSyscallCount;
}

}  // namespace

SiteScanner::SiteScanner(const ElfImage& image) : image_(image) {
  ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  ZydisDecoderEnableMode(&decoder_, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
}

void SiteScanner::Scan() {
  if (!FindSyscallBytes()) return;
  const std::vector<uint64_t> starts = image_.FunctionStarts();
  // All before the first branch: it may lead to a later range.
  for (const ElfRange& range : image_.code()) targets_.emplace_back(range.size);
  auto next = starts.begin();
  for (range_ = 0; range_ < image_.code().size(); ++range_) {
    const ElfRange& range = image_.code()[range_];
    uint64_t at = range.address;
    while (at < range.end()) {
      next = std::upper_bound(next, starts.end(), at);
      const uint64_t stop = next == starts.end() ? range.end() : std::min(range.end(), *next);
      // A sequence ends with its function: the next start is an instruction start by itself.
      if (IsNearSyscallBytes(at, stop)) {
        Decode(image_.Bytes(range).subspan(at - range.address, stop - at), at);
      }
      at = stop;
    }
  }
  if (sites_.empty()) return;
  for (uint64_t start : starts) AddTarget(start);
  AddLongBranches();
  AddWords();
  AddJumpTables();
}

std::vector<size_t> SiteScanner::SafeSites() const {
  std::vector<size_t> safe;
  for (const Site& site : sites_) {
    const std::vector<bool>& targets = targets_[site.range];
    const auto from = targets.begin() + site.at;
    if (std::find(from + 1, from + kSiteSize, true) != from + kSiteSize) continue;
    safe.push_back(image_.code()[site.range].offset + site.at);
  }
  return safe;
}

bool SiteScanner::FindSyscallBytes() {
  for (const ElfRange& range : image_.code()) {
    const auto bytes = image_.Bytes(range);
    const uint8_t* const end = bytes.data() + bytes.size();
    // memchr for the rarer of the two bytes is several times faster than memmem for both.
    for (const uint8_t* at = bytes.data() + 1; at < end; ++at) {
      at = static_cast<const uint8_t*>(memchr(at, kSyscall[1], end - at));
      if (at == nullptr) break;
      if (at[-1] == kSyscall[0]) hits_.push_back(range.address + (at - 1 - bytes.data()));
    }
  }
  return !hits_.empty();
}

bool SiteScanner::IsNearSyscallBytes(uint64_t start, uint64_t stop) const {
  const auto after = std::lower_bound(hits_.begin(), hits_.end(), start);
  return (after != hits_.end() && (*after < stop || *after - stop < kShortReach)) ||
         (after != hits_.begin() && start - *(after - 1) < kShortReach);
}

void SiteScanner::Decode(std::span<const uint8_t> bytes, uint64_t address) {
  bool after_move = false;
  for (size_t at = 0; at < bytes.size();) {
    ZydisDecodedInstruction instruction;
    const uint8_t* code = bytes.data() + at;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder_, nullptr, code, bytes.size() - at,
                                                    &instruction))) {
      after_move = false;
      ++at;
      continue;
    }
    const size_t length = instruction.length;
    if (length == 2 && code[0] == kSyscall[0] && code[1] == kSyscall[1]) {
      ++syscalls_;
      if (after_move) {
        const uint64_t site = address + at - kMoveSize;
        sites_.push_back({range_, site - image_.code()[range_].address});
      }
    }
    after_move = length == kMoveSize && IsMoveOfNumber(code);
    const auto& immediate = instruction.raw.imm[0];
    if (immediate.is_relative) {
      AddTarget(address + at + length + static_cast<uint64_t>(immediate.value.s));
    }
    at += length;
  }
}

void SiteScanner::AddTarget(uint64_t address) {
  // Most branches stay in their section.
  const std::vector<ElfRange>& code = image_.code();
  size_t range = range_;
  if (range >= code.size() || !code[range].Contains(address)) {
    const ElfRange* found = ElfImage::Find(code, address);
    if (found == nullptr) return;
    range = found - code.data();
  }
  targets_[range][address - code[range].address] = true;
}

void SiteScanner::AddLongBranches() {
  for (range_ = 0; range_ < image_.code().size(); ++range_) {
    const ElfRange& range = image_.code()[range_];
    const auto bytes = image_.Bytes(range);
    uint8_t before = 0;
    for (size_t at = 0; at + 5 <= bytes.size(); before = bytes[at++]) {
      const uint8_t* code = bytes.data() + at;
      const bool branch = (code[0] & 0xfe) == 0xe8 ||
                          ((code[0] & 0xf0) == 0x80 && before == 0x0f) ||
                          (code[0] == 0xf8 && before == 0xc7);
      const bool address = (code[0] & 0xc7) == 0x05 && before == 0x8d;
      if (!branch && !address) continue;
      const int64_t distance = Load<int32_t>(code + 1);
      const uint64_t target = range.address + at + 5 + static_cast<uint64_t>(distance);
      if (branch) {
        AddTarget(target);
      } else {
        tables_.push_back(target);
      }
    }
  }
}

void SiteScanner::AddWords() {
  const uint64_t low = image_.code().front().address;
  const uint64_t span = image_.code().back().end() - low;
  for (const ElfRange& load : image_.loads()) {
    const auto bytes = image_.Bytes(load);
    for (size_t at = -load.address & 7; at + 8 <= bytes.size(); at += 8) {
      const auto word = Load<uint64_t>(bytes.data() + at);
      if (word - low < span) AddTarget(word);
    }
  }
}

void SiteScanner::AddJumpTables() {
  std::sort(tables_.begin(), tables_.end());
  tables_.erase(std::unique(tables_.begin(), tables_.end()), tables_.end());
  for (size_t i = 0; i < tables_.size(); ++i) {
    const uint64_t base = tables_[i];
    const ElfRange* load = ElfImage::Find(image_.loads(), base);
    if (load == nullptr) continue;
    const uint64_t next = i + 1 < tables_.size() ? tables_[i + 1] : load->end();
    const auto bytes = image_.Bytes(*load);
    const uint64_t stop = std::min(next, load->end()) - load->address;
    for (uint64_t at = base - load->address; at + 4 <= stop; at += 4) {
      const int64_t distance = Load<int32_t>(bytes.data() + at);
      const uint64_t target = base + static_cast<uint64_t>(distance);
      if (ElfImage::Find(image_.code(), target) == nullptr) break;
      AddTarget(target);
    }
  }
}

}  // namespace usetl::pack
