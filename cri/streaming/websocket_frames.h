// websocket_frames.h: RFC 6455's frames, a server's side. No extensions.
#ifndef USETL_CRI_STREAMING_WEBSOCKET_FRAMES_H_
#define USETL_CRI_STREAMING_WEBSOCKET_FRAMES_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/base/status.h"

namespace usetl::cri::streaming {

inline constexpr uint64_t kMaxWebSocketMessage = 32 << 20;
inline constexpr size_t kMaxWebSocketControl = 125;

enum class WebSocketOpcode : uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

class WebSocketSink {
 public:
  virtual ~WebSocketSink() = default;
  // Messages come in parts as they arrive; `last` with the last part, which may be empty.
  virtual Status OnMessage(std::string_view part, bool last) = 0;
  // Pongs are not reported.
  virtual Status OnPing(std::string_view payload) = 0;
  virtual Status OnClose() = 0;
};

// What a client sends. Holds back no more than a control frame.
class WebSocketReader {
 public:
  // EPROTO: not what the protocol allows.
  Status Read(std::string_view bytes, WebSocketSink* sink);

 private:
  size_t HeadSize() const;
  Status OnHead();
  Status OnPayload(std::string_view* bytes, WebSocketSink* sink);
  Status OnControl(WebSocketSink* sink);

  std::string head_;
  bool in_payload_ = false, final_ = false, in_message_ = false;
  WebSocketOpcode opcode_ = WebSocketOpcode::kBinary;
  std::array<char, 4> mask_{};
  uint64_t left_ = 0, offset_ = 0;  // of the frame's payload
  uint64_t message_ = 0;            // bytes of the message until now
  std::string control_;             // payload of a control frame
};

// One whole frame, unmasked.
void AppendWebSocketFrame(std::string* to, WebSocketOpcode opcode, std::string_view payload);
// The same in two parts: what AppendWebSocketFrame puts before `size` bytes of payload.
void AppendWebSocketHead(std::string* to, WebSocketOpcode opcode, size_t size);

// What a server answers to Sec-WebSocket-Key.
std::string WebSocketAccept(std::string_view key);

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_WEBSOCKET_FRAMES_H_
