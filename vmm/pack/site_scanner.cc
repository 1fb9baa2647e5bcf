#include "vmm/pack/site_scanner.h"

#include <string.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <unordered_map>

#include "vmm/abi/layout.h"
#include "vmm/pack/red_zone.h"

namespace usetl::pack {
namespace {

constexpr size_t kMoveSize = 5;      // b8 imm32
constexpr size_t kZeroSize = 2;      // 31 c0
constexpr size_t kMostBetween = 40;  // bytes, in as many instructions as are remembered
constexpr size_t kRemembered = 8;
constexpr size_t kShortReach = 192;  // farther than a site and a branch of 8 bits
// A compiler's code has a tenth of these for each GB. What has more keeps its system calls.
constexpr size_t kMostHits = 1 << 20, kMostPointers = 1 << 23;
constexpr uint8_t kCall = 0xe8;
constexpr uint8_t kSyscall[] = {0x0f, 0x05};
constexpr uint8_t kCompare[] = {0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff};  // cmp $-4096, %rax

template <typename T>
T Load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

bool IsMoveOfNumber(const uint8_t* bytes) {
  return bytes[0] == 0xb8 && Load<uint32_t>(bytes + 1) < abi::kSyscallCount;
}

bool IsZero(const uint8_t* bytes) {
  return (bytes[0] == 0x31 || bytes[0] == 0x33) && bytes[1] == 0xc0;
}

// Of instructions that only compute: RAX holds the number meanwhile, and unwinding tables know of
// changes of the other two where they are.
bool MustStay(ZydisRegister name, bool written) {
  if (name == ZYDIS_REGISTER_RIP) return true;
  const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, name);
  if (whole == ZYDIS_REGISTER_RAX) return true;
  return written && (whole == ZYDIS_REGISTER_RSP || whole == ZYDIS_REGISTER_RBP);
}

}  // namespace

size_t SiteScanner::Site::size() const {
  return form == SiteForm::kZero ? kZeroSize + sizeof kSyscall + sizeof kCompare
                                 : kMoveSize + between + sizeof kSyscall;
}

bool SiteScanner::MayMove(std::span<const uint8_t> bytes) const {
  ZydisDecodedInstruction instruction;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  if (!ZYAN_SUCCESS(
          ZydisDecoderDecodeFull(&full_, bytes.data(), bytes.size(), &instruction, operands))) {
    return false;
  }
  switch (instruction.meta.category) {
    case ZYDIS_CATEGORY_BINARY:
    case ZYDIS_CATEGORY_CMOV:
    case ZYDIS_CATEGORY_DATAXFER:
    case ZYDIS_CATEGORY_LOGICAL:
    case ZYDIS_CATEGORY_MISC:  // lea
    case ZYDIS_CATEGORY_SETCC:
    case ZYDIS_CATEGORY_SHIFT:
      break;
    default:
      return false;
  }
  for (uint8_t i = 0; i < instruction.operand_count; ++i) {
    const ZydisDecodedOperand& operand = operands[i];
    const bool written = operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER && MustStay(operand.reg.value, written) &&
        !(operand.visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
          operand.reg.value == ZYDIS_REGISTER_RIP)) {
      return false;
    }
    if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY &&
        (MustStay(operand.mem.base, false) || MustStay(operand.mem.index, false))) {
      return false;
    }
  }
  return true;
}

std::optional<SiteScanner::Site> SiteScanner::FindSite(std::span<const uint8_t> bytes, size_t at,
                                                       std::span<const Step> before) const {
  if (before.empty()) return std::nullopt;
  const size_t after = at + sizeof kSyscall;
  const Step& last = before.front();
  if (last.length == kZeroSize && IsZero(bytes.data() + last.at)) {
    const bool compared = bytes.size() - after >= sizeof kCompare &&
                          std::memcmp(bytes.data() + after, kCompare, sizeof kCompare) == 0;
    if (!compared) return std::nullopt;
    return Site{range_, last.at, SiteForm::kZero, 0, 0, 0};
  }
  for (const Step& step : before) {
    const uint8_t* code = bytes.data() + step.at;
    if (step.length == kMoveSize && IsMoveOfNumber(code)) {
      const size_t between = at - step.at - kMoveSize;
      if (between > kMostBetween) return std::nullopt;
      return Site{range_, step.at, SiteForm::kMove, Load<uint32_t>(code + 1), between, 0};
    }
    if (!MayMove(bytes.subspan(step.at, step.length))) return std::nullopt;
  }
  return std::nullopt;
}

SiteScanner::SiteScanner(const ElfImage& image) : image_(image) {
  ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  ZydisDecoderEnableMode(&decoder_, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
  ZydisDecoderInit(&full_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
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
        if (jumps_.size() > kMostPointers) return sites_.clear();
      }
      at = stop;
    }
  }
  if (sites_.empty()) return;
  for (uint64_t start : starts) AddTarget(start);
  AddLongBranches();
  if (sites_.empty()) return;
  LeaveSplitFunctions(starts);
  AddWords();
  AddJumpTables();
}

std::vector<SiteScanner::SafeSite> SiteScanner::SafeSites() const {
  std::vector<SafeSite> safe;
  for (const Site& site : sites_) {
    if (functions_[site.function].endangered) continue;
    const std::vector<bool>& targets = targets_[site.range];
    const auto from = targets.begin() + site.at;
    const auto to = from + static_cast<ptrdiff_t>(site.size());
    if (std::find(from + 1, to, true) != to) continue;
    const size_t offset = image_.code()[site.range].offset + site.at;
    safe.push_back({offset, site.form, site.number, site.between});
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
      if (hits_.size() > kMostHits) return false;
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
  const size_t known = sites_.size();
  RedZone red_zone;
  std::deque<Step> before;  // last first
  std::vector<Step> steps;
  for (size_t at = 0; at < bytes.size();) {
    ZydisDecodedInstruction instruction;
    const uint8_t* code = bytes.data() + at;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder_, nullptr, code, bytes.size() - at,
                                                    &instruction))) {
      before.clear();
      ++at;
      continue;
    }
    const size_t length = instruction.length;
    if (length == 2 && code[0] == kSyscall[0] && code[1] == kSyscall[1]) {
      ++syscalls_;
      steps.assign(before.begin(), before.end());
      if (std::optional<Site> site = FindSite(bytes, at, steps)) {
        site->at += address - image_.code()[range_].address;
        sites_.push_back(*site);
      }
    }
    before.push_front({at, length});
    if (before.size() > kRemembered) before.pop_back();
    red_zone.Add(at, code, instruction);
    const auto& immediate = instruction.raw.imm[0];
    if (immediate.is_relative) {
      const uint64_t target = address + at + length + static_cast<uint64_t>(immediate.value.s);
      AddTarget(target);
      const bool leaves = target - address >= bytes.size() && code[0] != kCall;
      if (leaves) jumps_.push_back({address + at, target});
      if (jumps_.size() > kMostPointers) break;
    }
    at += length;
  }
  // The call's return address would lie where the function keeps something.
  const size_t first = address - image_.code()[range_].address;
  const auto endangered = [&](const Site& site) { return red_zone.IsUsedNear(site.at - first); };
  const auto added = sites_.begin() + static_cast<ptrdiff_t>(known);
  sites_.erase(std::remove_if(added, sites_.end(), endangered), sites_.end());
  if (sites_.size() == known) return;
  for (auto site = sites_.begin() + static_cast<ptrdiff_t>(known); site != sites_.end(); ++site) {
    site->function = functions_.size();
  }
  functions_.push_back({address, address + bytes.size(), false});
}

SiteScanner::Function* SiteScanner::FunctionAt(uint64_t address) {
  const auto behind =
      std::upper_bound(functions_.begin(), functions_.end(), address,
                       [](uint64_t wanted, const Function& f) { return wanted < f.start; });
  if (behind == functions_.begin() || address >= (behind - 1)->stop) return nullptr;
  return &*(behind - 1);
}

void SiteScanner::LeaveSplitFunctions(const std::vector<uint64_t>& starts) {
  std::unordered_map<uint64_t, bool> known;  // by start: whether it uses its red zone
  for (const Jump& jump : jumps_) {
    Function* const part = FunctionAt(jump.to);
    if (part == nullptr || part->endangered) continue;
    const ElfRange* const range = ElfImage::Find(image_.code(), jump.from);
    const auto next = std::upper_bound(starts.begin(), starts.end(), jump.from);
    const bool first = next == starts.begin() || *(next - 1) < range->address;
    const uint64_t start = first ? range->address : *(next - 1);
    if (start == part->start) continue;
    const auto [entry, fresh] = known.try_emplace(start, false);
    if (fresh) {
      const uint64_t stop = next == starts.end() ? range->end() : std::min(range->end(), *next);
      entry->second =
          UsesRedZone(image_.Bytes(*range).subspan(start - range->address, stop - start));
    }
    part->endangered = entry->second;
  }
}

bool SiteScanner::UsesRedZone(std::span<const uint8_t> bytes) const {
  RedZone red_zone;
  for (size_t at = 0; at < bytes.size();) {
    ZydisDecodedInstruction instruction;
    const uint8_t* code = bytes.data() + at;
    const bool decoded = ZYAN_SUCCESS(
        ZydisDecoderDecodeInstruction(&decoder_, nullptr, code, bytes.size() - at, &instruction));
    if (decoded) red_zone.Add(at, code, instruction);
    at += decoded ? instruction.length : 1;
  }
  return red_zone.used();
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
        const Function* part = code[0] != kCall ? FunctionAt(target) : nullptr;
        const uint64_t from = range.address + at;
        if (part != nullptr && (from < part->start || from >= part->stop)) {
          jumps_.push_back({from, target});
        }
      } else {
        tables_.push_back(target);
      }
      if (jumps_.size() + tables_.size() > kMostPointers) return sites_.clear();
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
