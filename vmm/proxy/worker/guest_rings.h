// guest_rings.h: taking down what a guest has put into its rings, so much at a time that a guest
// which never stops does not keep us from the clock, clients and servers.
#ifndef USETL_VMM_PROXY_WORKER_GUEST_RINGS_H_
#define USETL_VMM_PROXY_WORKER_GUEST_RINGS_H_

#include <span>

#include "vmm/proxy/worker/output_frames.h"
#include "vmm/proxy/worker/usf_link.h"

namespace usetl {

inline constexpr int kRecordsAtOnce = 64;

// Output, while `ready()`, and as much as the ring can hold at once: all of a guest that has ended.
// `piece` is where it lies meanwhile; `frames` keeps what is not complete. EPROTO: the guest broke
// the rules.
template <typename Ready, typename Show>
Status DrainOutput(UsfLink* link, OutputFrames* frames, std::span<char> piece, Ready ready,
                   Show show) {
  for (int64_t left = abi::kOutputSize; left > 0 && ready();) {
    const int64_t count = link->TakeOutput(piece.data(), static_cast<uint32_t>(piece.size()));
    if (count < 0) return Status(EPROTO, "the guest broke its output ring");
    if (count == 0) break;
    USETL_RETURN_IF_ERROR(frames->Add({piece.data(), static_cast<size_t>(count)}, show));
    left -= count;
  }
  return Status();
}

// Records, while `ready()`, to `take(header, payload)`. `drain_output()` comes before each and at
// the end: what was printed before an answer is shown before it. Says whether there was any.
template <typename Ready, typename Drain, typename Take>
Status DrainRecords(UsfLink* link, bool* some, Ready ready, Drain drain_output, Take take) {
  for (int i = 0; i < kRecordsAtOnce && ready(); ++i) {
    abi::RecordHeader header;
    std::span<const uint8_t> payload;
    const abi::RingRead read = link->Take(&header, &payload);
    if (read == abi::RingRead::kBroken) return Status(EPROTO, "the guest broke its ring");
    if (read == abi::RingRead::kEmpty) break;
    *some = true;
    USETL_RETURN_IF_ERROR(drain_output());
    USETL_RETURN_IF_ERROR(take(header, payload));
  }
  return drain_output();
}

// The records of a guest that has ended: no more come than the ring holds. `drain(&some)` takes
// some of them.
template <typename Drain>
Status DrainLastRecords(Drain drain) {
  constexpr uint32_t kMostRecords = abi::kToHostSize / sizeof(abi::RecordHeader);
  bool some = true;
  for (uint32_t i = 0; i <= kMostRecords / kRecordsAtOnce && some; ++i) {
    some = false;
    USETL_RETURN_IF_ERROR(drain(&some));
  }
  return Status();
}

}  // namespace usetl

#endif  // USETL_VMM_PROXY_WORKER_GUEST_RINGS_H_
