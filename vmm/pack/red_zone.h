// red_zone.h: where a function keeps something below its stack pointer (System V ABI,
// AMD64, 3.2.2).
#ifndef USETL_VMM_PACK_RED_ZONE_H_
#define USETL_VMM_PACK_RED_ZONE_H_

#include <Zydis/Decoder.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace usetl::pack {

// Told of the instructions of a function in order. Every doubt is decided for "below": a frame is
// as large as what its prologue has been seen to take.
class RedZone {
 public:
  // `at`: distance from the start of what is decoded; `code`: the instruction's bytes.
  void Add(size_t at, const uint8_t* code, const ZydisDecodedInstruction& instruction);
  bool used() const { return !uses_.empty(); }
  // Whether it is used no farther from `at` than a leaf function is long. Where functions begin and
  // end is not always known.
  bool IsUsedNear(size_t at) const;

 private:
  bool has_frame_ = false;    // RBP has been RSP
  bool in_prologue_ = false;  // of that frame
  int64_t frame_size_ = 0;    // what RSP was lowered by since, at least
  std::vector<size_t> uses_;  // ascending
};

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_RED_ZONE_H_
