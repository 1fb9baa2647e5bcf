#include "vmm/proxy/worker/output_frames.h"

#include <cstring>

namespace usetl {

Status OutputFrames::Add(std::string_view bytes, const Show& show) {
  kept_.append(bytes);
  std::string_view left = kept_;
  while (left.size() >= sizeof(abi::OutputFrame)) {
    abi::OutputFrame frame;
    std::memcpy(&frame, left.data(), sizeof frame);
    if (frame.stream != 1 && frame.stream != 2) {
      return Status(EPROTO, "the guest wrote to an output stream that does not exist");
    }
    if (left.size() - sizeof frame < frame.size) break;
    if (frame.size != 0) show(frame.stream, left.substr(sizeof frame, frame.size));
    left.remove_prefix(sizeof frame + frame.size);
  }
  kept_.erase(0, kept_.size() - left.size());
  return Status();
}

}  // namespace usetl
