// red_zone.h: where a function keeps something below its stack pointer (System V ABI,
// AMD64, 3.2.2).
#ifndef USETL_VMM_PACK_RED_ZONE_H_
#define USETL_VMM_PACK_RED_ZONE_H_

#include <Zydis/Decoder.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace usetl::pack {

// Told of the instructions of a function in order. Two signs: memory below RSP, and memory farther
// below a frame pointer than what the prologue has been seen to take. Functions that call others
// have no red zone, so that the second sign does not count in them.
class RedZone {
 public:
  // `at`: distance from the start of what is decoded; `code`: the instruction's bytes.
  void Add(size_t at, const uint8_t* code, const ZydisDecodedInstruction& instruction);
  bool used() const { return !stack_uses_.empty() || !frame_uses_.empty(); }
  // Whether it is used no farther from `at` than a leaf function is long. Where functions begin and
  // end is not always known.
  bool IsUsedNear(size_t at) const;

 private:
  // Of the last frame: from where RBP became RSP.
  bool has_frame_ = false, in_prologue_ = false, calls_ = false, ended_ = false;
  int64_t frame_size_ = 0;  // what RSP was lowered by since, at least
  size_t frame_begin_ = 0;  // in frame_uses_
  // Ascending.
  std::vector<size_t> stack_uses_, frame_uses_;
};

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_RED_ZONE_H_
