#include "vmm/pack/red_zone.h"

#include <algorithm>
#include <cstring>

namespace usetl::pack {
namespace {

constexpr size_t kLongestLeaf = 4096;
constexpr uint8_t kStackPointer = 4, kFramePointer = 5;
constexpr uint8_t kSib = 4, kRegister = 3;  // of a ModRM byte

bool IsFramePointerSet(const uint8_t* code, size_t length) {
  constexpr uint8_t kForms[][3] = {{0x48, 0x89, 0xe5}, {0x48, 0x8b, 0xec}};  // mov %rsp, %rbp
  return length == 3 &&
         (std::memcmp(code, kForms[0], 3) == 0 || std::memcmp(code, kForms[1], 3) == 0);
}

bool IsPush(const ZydisDecodedInstruction& instruction) {
  return instruction.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (instruction.opcode & 0xf8) == 0x50;
}

bool IsCall(const ZydisDecodedInstruction& instruction) {
  if (instruction.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) return false;
  return instruction.opcode == 0xe8 ||
         (instruction.opcode == 0xff && instruction.raw.modrm.reg == 2);
}

// ret, jmp, hlt, ud2: what follows may be another function.
bool IsEnd(const ZydisDecodedInstruction& instruction) {
  const uint8_t opcode = instruction.opcode;
  if (instruction.opcode_map == ZYDIS_OPCODE_MAP_0F) return opcode == 0x0b;
  if (instruction.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) return false;
  return opcode == 0xc2 || opcode == 0xc3 || opcode == 0xe9 || opcode == 0xeb || opcode == 0xf4 ||
         (opcode == 0xff && instruction.raw.modrm.reg == 4);
}

// What `sub $n, %rsp` takes; 0: it is another instruction.
int64_t TakenBySub(const ZydisDecodedInstruction& instruction) {
  const auto& raw = instruction.raw;
  const bool is = instruction.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
                  (instruction.opcode == 0x81 || instruction.opcode == 0x83) &&
                  raw.modrm.mod == kRegister && raw.modrm.reg == 5 &&
                  raw.modrm.rm == kStackPointer && raw.rex.W == 1 && raw.rex.B == 0;
  return is ? std::max<int64_t>(raw.imm[0].value.s, 0) : 0;
}

// Whether its memory operand is `base` plus a displacement, with or without an index.
bool HasBase(const ZydisDecodedInstruction& instruction, uint8_t base) {
  const auto& raw = instruction.raw;
  if ((instruction.attributes & ZYDIS_ATTRIB_HAS_MODRM) == 0) return false;
  if (raw.modrm.mod == kRegister || raw.disp.size == 0 || raw.rex.B != 0) return false;
  if (raw.modrm.mod == 0) return false;  // RIP, or a number, in the place of RBP
  return raw.modrm.rm == kSib ? raw.sib.base == base : raw.modrm.rm == base;
}

}  // namespace

void RedZone::Add(size_t at, const uint8_t* code, const ZydisDecodedInstruction& instruction) {
  if (IsFramePointerSet(code, instruction.length)) {
    has_frame_ = in_prologue_ = true;
    calls_ = ended_ = false;
    frame_size_ = 0;
    frame_begin_ = frame_uses_.size();
    return;
  }
  if (has_frame_ && !ended_ && IsCall(instruction)) {
    calls_ = true;
    frame_uses_.resize(frame_begin_);
  }
  if (IsEnd(instruction)) ended_ = true;
  if (in_prologue_ && IsPush(instruction)) frame_size_ += 8;
  if (in_prologue_) frame_size_ += TakenBySub(instruction);
  if (instruction.raw.imm[0].is_relative) in_prologue_ = false;
  // Of EVEX a byte counts vectors.
  const bool scaled =
      instruction.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && instruction.raw.disp.size == 8;
  const int64_t displacement = instruction.raw.disp.value * (scaled ? 64 : 1);
  if (HasBase(instruction, kStackPointer) && displacement < 0) stack_uses_.push_back(at);
  if (has_frame_ && !calls_ && HasBase(instruction, kFramePointer) && displacement < -frame_size_) {
    frame_uses_.push_back(at);
  }
}

bool RedZone::IsUsedNear(size_t at) const {
  const size_t from = at > kLongestLeaf ? at - kLongestLeaf : 0;
  const auto has_one = [&](const std::vector<size_t>& uses) {
    const auto near = std::lower_bound(uses.begin(), uses.end(), from);
    return near != uses.end() && *near < at + kLongestLeaf;
  };
  return has_one(stack_uses_) || has_one(frame_uses_);
}

}  // namespace usetl::pack
