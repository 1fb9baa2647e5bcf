#include "cri/streaming/websocket_frames.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>

namespace usetl::cri::streaming {
namespace {

constexpr uint8_t kFinal = 0x80, kReserved = 0x70, kOpcode = 0x0f;
constexpr uint8_t kMasked = 0x80, kLength = 0x7f;
constexpr uint8_t kLength16 = 126, kLength64 = 127;
constexpr size_t kMaskSize = 4;

Status Bad(std::string_view what) { return Status(EPROTO, "WebSocket: " + std::string(what)); }

bool IsControl(WebSocketOpcode opcode) { return opcode >= WebSocketOpcode::kClose; }

}  // namespace

size_t WebSocketReader::HeadSize() const {
  if (head_.size() < 2) return 2;
  const uint8_t length = static_cast<uint8_t>(head_[1]) & kLength;
  const size_t more = length == kLength16 ? 2 : length == kLength64 ? 8 : 0;
  return 2 + more + kMaskSize;
}

Status WebSocketReader::Read(std::string_view bytes, WebSocketSink* sink) {
  while (!bytes.empty() || (in_payload_ && left_ == 0)) {
    if (in_payload_) {
      USETL_RETURN_IF_ERROR(OnPayload(&bytes, sink));
      continue;
    }
    const std::string_view part = bytes.substr(0, HeadSize() - head_.size());
    head_ += part;
    bytes.remove_prefix(part.size());
    if (head_.size() >= 2 && (static_cast<uint8_t>(head_[1]) & kMasked) == 0) {
      return Bad("a frame that is not masked");
    }
    if (head_.size() == HeadSize()) USETL_RETURN_IF_ERROR(OnHead());
  }
  return Status();
}

Status WebSocketReader::OnHead() {
  const auto first = static_cast<uint8_t>(head_[0]);
  const uint8_t length = static_cast<uint8_t>(head_[1]) & kLength;
  if ((first & kReserved) != 0) return Bad("a frame of an extension");
  final_ = (first & kFinal) != 0;
  opcode_ = static_cast<WebSocketOpcode>(first & kOpcode);
  left_ = length;
  if (length >= kLength16) {
    left_ = 0;
    for (size_t i = 2; i < head_.size() - kMaskSize; ++i) {
      left_ = left_ << 8 | static_cast<uint8_t>(head_[i]);
    }
  }
  std::copy(head_.end() - kMaskSize, head_.end(), mask_.begin());
  head_.clear();
  offset_ = 0;
  in_payload_ = true;
  switch (opcode_) {
    case WebSocketOpcode::kClose:
    case WebSocketOpcode::kPing:
    case WebSocketOpcode::kPong:
      if (!final_ || left_ > kMaxWebSocketControl) return Bad("a control frame that is too long");
      return Status();
    case WebSocketOpcode::kText:
    case WebSocketOpcode::kBinary:
      if (in_message_) return Bad("a message within a message");
      message_ = 0;
      break;
    case WebSocketOpcode::kContinuation:
      if (!in_message_) return Bad("the rest of no message");
      break;
    default:
      return Bad("a frame of an unknown kind");
  }
  if (left_ > kMaxWebSocketMessage - message_) return Bad("a message that is too long");
  message_ += left_;
  in_message_ = !final_;
  return Status();
}

Status WebSocketReader::OnPayload(std::string_view* bytes, WebSocketSink* sink) {
  constexpr size_t kPart = 16 << 10;  // unmasked at a time
  std::string part(bytes->substr(0, std::min<uint64_t>(left_, kPart)));
  bytes->remove_prefix(part.size());
  for (char& byte : part) byte = static_cast<char>(byte ^ mask_[offset_++ % kMaskSize]);
  left_ -= part.size();
  if (left_ == 0) in_payload_ = false;
  if (!IsControl(opcode_)) return sink->OnMessage(part, left_ == 0 && final_);
  control_ += part;
  return left_ == 0 ? OnControl(sink) : Status();
}

Status WebSocketReader::OnControl(WebSocketSink* sink) {
  const std::string payload = std::exchange(control_, {});
  if (opcode_ == WebSocketOpcode::kPing) return sink->OnPing(payload);
  if (opcode_ == WebSocketOpcode::kClose) return sink->OnClose();
  return Status();
}

void AppendWebSocketHead(std::string* to, WebSocketOpcode opcode, size_t size) {
  to->push_back(static_cast<char>(kFinal | static_cast<uint8_t>(opcode)));
  int bytes = 0;
  if (size < kLength16) {
    to->push_back(static_cast<char>(size));
  } else if (size <= UINT16_MAX) {
    to->push_back(static_cast<char>(kLength16));
    bytes = 2;
  } else {
    to->push_back(static_cast<char>(kLength64));
    bytes = 8;
  }
  for (int i = bytes - 1; i >= 0; --i) to->push_back(static_cast<char>(size >> (8 * i)));
}

void AppendWebSocketFrame(std::string* to, WebSocketOpcode opcode, std::string_view payload) {
  AppendWebSocketHead(to, opcode, payload.size());
  *to += payload;
}

std::string WebSocketAccept(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  unsigned char base64[4 * (SHA_DIGEST_LENGTH + 2) / 3 + 1];
  const int size = EVP_EncodeBlock(base64, digest, SHA_DIGEST_LENGTH);
  return std::string(reinterpret_cast<char*>(base64), static_cast<size_t>(size));
}

}  // namespace usetl::cri::streaming
