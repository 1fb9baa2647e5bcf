// output_frames.h: puts the frames of the output ring together again.
#ifndef USETL_VMM_PROXY_WORKER_OUTPUT_FRAMES_H_
#define USETL_VMM_PROXY_WORKER_OUTPUT_FRAMES_H_

#include <functional>
#include <string>
#include <string_view>

#include "vmm/abi/mail.h"
#include "vmm/base/status.h"

namespace usetl {

class OutputFrames {
 public:
  using Show = std::function<void(uint32_t stream, std::string_view bytes)>;

  // The next bytes of the ring. Calls `show` for every frame that is complete and not empty.
  // EPROTO: neither standard output nor standard error.
  Status Add(std::string_view bytes, const Show& show);

  // Bytes of a frame that is not complete yet. Never more than one frame: its size has 16 bits.
  size_t kept() const { return kept_.size(); }

 private:
  static_assert(sizeof(abi::OutputFrame::size) == 2);
  std::string kept_;
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_WORKER_OUTPUT_FRAMES_H_
