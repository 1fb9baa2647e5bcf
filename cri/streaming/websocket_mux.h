// websocket_mux.h: streams over WebSocket: as numbered channels, or as SPDY within messages.
#ifndef USETL_CRI_STREAMING_WEBSOCKET_MUX_H_
#define USETL_CRI_STREAMING_WEBSOCKET_MUX_H_

#include <string>
#include <vector>

#include "cri/streaming/mux.h"
#include "cri/streaming/spdy_mux.h"
#include "cri/streaming/websocket_frames.h"

namespace usetl::cri::streaming {

// What both have of the protocol: pings are answered, a close is noted and answered.
class WebSocketMux : public Mux, protected WebSocketSink {
 public:
  Status Receive(std::string_view bytes) override { return reader_.Read(bytes, this); }
  void Close() override;

 protected:
  Status OnPing(std::string_view payload) override;
  Status OnClose() override;

  bool closed_ = false;  // by the client
  std::string output_;

 private:
  WebSocketReader reader_;
};

struct Channel {
  bool open = false;      // false: the number is not used
  bool readable = false;  // the client may send
  Headers headers;        // as a SPDY client would send them
  std::string greeting;   // sent at the start
  bool greet = false;     // with `greeting`, even when it is empty
};

// v4.channel.k8s.io and v5: the first byte of a message is its channel. A stream's number is its
// channel's.
class ChannelMux final : public WebSocketMux {
 public:
  // With `signals` (v5) a message of 255 and a channel ends what the client sends there.
  ChannelMux(std::vector<Channel> channels, bool signals)
      : channels_(std::move(channels)), signals_(signals) {}

  Status Start(StreamSink* sink) override;
  size_t Room(uint32_t stream) const override;
  void Send(uint32_t stream, std::string_view data) override;
  // The protocol has no word for either: a client learns it when the connection closes.
  void End(uint32_t stream) override { channels_[stream].open = false; }
  void Reset(uint32_t stream) override;
  void Consumed(uint32_t, size_t) override {}
  bool gone() const override { return closed_; }
  std::string TakeOutput() override { return std::exchange(output_, {}); }

 private:
  static constexpr int kNoChannel = -1;  // between messages
  Status OnMessage(std::string_view part, bool last) override;
  Status OnSignal();

  std::vector<Channel> channels_;
  const bool signals_;
  StreamSink* sink_ = nullptr;
  int channel_ = kNoChannel;
  std::string signal_;
};

// SPDY/3.1+portforward.k8s.io: the binary messages are the bytes of a SPDY connection.
class TunnelMux final : public WebSocketMux {
 public:
  Status Start(StreamSink* sink) override { return spdy_.Start(sink); }
  size_t Room(uint32_t stream) const override { return spdy_.Room(stream); }
  void Send(uint32_t stream, std::string_view data) override { spdy_.Send(stream, data); }
  void End(uint32_t stream) override { spdy_.End(stream); }
  void Reset(uint32_t stream) override { spdy_.Reset(stream); }
  void Consumed(uint32_t stream, size_t size) override { spdy_.Consumed(stream, size); }
  void Close() override;
  bool gone() const override { return closed_ || spdy_.gone(); }
  std::string TakeOutput() override;

 private:
  Status OnMessage(std::string_view part, bool) override { return spdy_.Receive(part); }
  void Wrap();

  SpdyMux spdy_;
};

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_WEBSOCKET_MUX_H_
