// streaming_spdy_client.h: SPDY/3.1 as a client speaks it, for tests.
#ifndef USETL_TESTS_UNIT_STREAMING_SPDY_CLIENT_H_
#define USETL_TESTS_UNIT_STREAMING_SPDY_CLIENT_H_

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "cri/streaming/big_endian.h"
#include "cri/streaming/spdy_headers.h"
#include "tests/unit/streaming_world.h"

namespace usetl::test {

inline constexpr char kSpdyUpgrade[] =
    "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
    "X-Stream-Protocol-Version: v3.channel.k8s.io\r\n";
inline constexpr char kSpdyForward[] =
    "Connection: upgrade\r\nUpgrade: spdy/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n";

inline std::string Words(std::initializer_list<uint32_t> words) {
  std::string bytes;
  for (const uint32_t word : words) cri::streaming::AppendBigEndian32(&bytes, word);
  return bytes;
}

class SpdyClient {
 public:
  struct Frame {
    uint16_t type = 0;  // 0: data
    uint32_t stream = 0;
    uint8_t flags = 0;
    std::string payload;  // of a control frame, with the stream
  };

  SpdyClient(const StreamingWorld& world, const std::string& path,
             const std::string& upgrade = kSpdyUpgrade)
      : tcp(world) {
    EXPECT_TRUE(Ask(&tcp, path, upgrade).starts_with("HTTP/1.1 101 "));
  }

  void Control(uint16_t type, const std::string& payload, uint8_t flags = 0) {
    tcp.Send(
        Words({0x80030000u | type, uint32_t{flags} << 24 | static_cast<uint32_t>(payload.size())}) +
        payload);
  }
  void Open(uint32_t stream, const cri::streaming::Headers& headers) {
    Control(1, Words({stream, 0}) + std::string(2, '\0') + *writer_.Write(headers));
  }
  void Open(uint32_t stream, const std::string& type) { Open(stream, {{"streamtype", type}}); }
  void Data(uint32_t stream, std::string_view data, bool fin = false) {
    tcp.Send(Words({stream, (fin ? 1u << 24 : 0u) | static_cast<uint32_t>(data.size())}));
    tcp.Send(data);
  }
  void WindowUpdate(uint32_t stream, uint32_t size) { Control(9, Words({stream, size})); }

  // The next frame; type 0xffff at the end of the connection.
  Frame Next() {
    Frame frame;
    frame.type = 0xffff;
    const std::string head = tcp.Receive(8);
    if (head.size() < 8) return frame;
    const uint32_t first = cri::streaming::BigEndian32(head);
    const uint32_t second = cri::streaming::BigEndian32(std::string_view(head).substr(4));
    frame.flags = static_cast<uint8_t>(second >> 24);
    frame.payload = tcp.Receive(second & 0xffffff);
    frame.type = first >> 31 != 0 ? static_cast<uint16_t>(first) : 0;
    frame.stream = first >> 31 == 0            ? first
                   : frame.payload.size() >= 4 ? cri::streaming::BigEndian32(frame.payload)
                                               : 0;
    if (frame.type == 0) received_[frame.stream] += frame.payload;
    if ((frame.type == 0 || frame.type == 2) && frame.flags == 1) ended_[frame.stream] = true;
    return frame;
  }
  // The next control frame of `type`.
  Frame NextControl(uint16_t type) {
    for (;;) {
      const Frame frame = Next();
      if (frame.type == type || frame.type == 0xffff) return frame;
    }
  }
  // All of a stream, to its end.
  std::string Stream(uint32_t stream) {
    while (!ended_[stream] && Next().type != 0xffff) {
    }
    EXPECT_TRUE(ended_[stream]);
    return received_[stream];
  }
  // At least so many bytes of it.
  std::string Prefix(uint32_t stream, size_t size) {
    while (received_[stream].size() < size && Next().type != 0xffff) {
    }
    return received_[stream];
  }
  // The server has ended the connection, with GOAWAY as its last word.
  bool EndsWithGoAway() {
    uint16_t last = 0;
    for (Frame frame = Next(); frame.type != 0xffff; frame = Next()) last = frame.type;
    return last == 7;
  }

  StreamingClient tcp;

 private:
  cri::streaming::HeaderWriter writer_;
  std::map<uint32_t, std::string> received_;
  std::map<uint32_t, bool> ended_;
};

}  // namespace usetl::test

#endif  // USETL_TESTS_UNIT_STREAMING_SPDY_CLIENT_H_
