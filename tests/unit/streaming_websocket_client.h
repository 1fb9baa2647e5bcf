// streaming_websocket_client.h: WebSocket as a client speaks it, for tests.
#ifndef USETL_TESTS_UNIT_STREAMING_WEBSOCKET_CLIENT_H_
#define USETL_TESTS_UNIT_STREAMING_WEBSOCKET_CLIENT_H_

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/streaming_world.h"

namespace usetl::test {

class WebSocketClient {
 public:
  struct Frame {
    int opcode = -1;  // -1: the connection has ended
    std::string payload;
  };

  WebSocketClient(const StreamingWorld& world, const std::string& path, const std::string& protocol)
      : tcp(world) {
    const std::string head =
        Ask(&tcp, path,
            "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " +
                protocol + "\r\n");
    EXPECT_TRUE(head.starts_with("HTTP/1.1 101 ")) << head;
    // The standard's own example.
    EXPECT_NE(head.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
              std::string::npos);
  }

  static std::string Masked(int first_byte, std::string_view payload) {
    std::string frame(1, static_cast<char>(first_byte));
    if (payload.size() < 126) {
      frame.push_back(static_cast<char>(0x80 | payload.size()));
    } else {
      frame.push_back(static_cast<char>(0x80 | 127));
      for (int shift = 56; shift >= 0; shift -= 8) {
        frame.push_back(static_cast<char>(uint64_t{payload.size()} >> shift));
      }
    }
    constexpr char kMask[] = {0x12, 0x34, 0x56, 0x78};
    frame.append(kMask, 4);
    for (size_t i = 0; i < payload.size(); ++i) {
      frame.push_back(static_cast<char>(payload[i] ^ kMask[i % 4]));
    }
    return frame;
  }
  void Message(std::string_view payload) { tcp.Send(Masked(0x82, payload)); }

  Frame Next() {
    Frame frame;
    const std::string head = tcp.Receive(2);
    if (head.size() < 2) return frame;
    uint64_t size = static_cast<uint8_t>(head[1]);
    if (size >= 126) {
      const std::string more = tcp.Receive(size == 126 ? 2 : 8);
      size = 0;
      for (const char byte : more) size = size << 8 | static_cast<uint8_t>(byte);
    }
    frame.opcode = static_cast<uint8_t>(head[0]) & 0xf;
    frame.payload = tcp.Receive(size);
    return frame;
  }
  // What comes on a channel until the connection's end.
  std::string Channel(char channel) {
    std::string all;
    for (Frame frame = Next(); frame.opcode >= 0; frame = Next()) {
      if (frame.opcode == 2 && frame.payload[0] == channel) all += frame.payload.substr(1);
      closed = closed || frame.opcode == 8;
    }
    return all;
  }

  StreamingClient tcp;
  bool closed = false;  // by a frame that says so
};

}  // namespace usetl::test

#endif  // USETL_TESTS_UNIT_STREAMING_WEBSOCKET_CLIENT_H_
