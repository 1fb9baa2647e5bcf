// spdy_mux.h: a server's end of SPDY/3.1, as far as Kubernetes' clients speak it.
//
// Clients open streams, never we. Flow control: what we can take is told to every client. What a
// client can take counts only once it has sent a WINDOW_UPDATE or an initial window, for the
// library behind kubectl and kubelet knows no windows and would wait for ever.
#ifndef USETL_CRI_STREAMING_SPDY_MUX_H_
#define USETL_CRI_STREAMING_SPDY_MUX_H_

#include <map>
#include <string>

#include "cri/streaming/mux.h"
#include "cri/streaming/spdy_headers.h"

namespace usetl::cri::streaming {

inline constexpr size_t kMaxSpdyStreams = 256;
inline constexpr size_t kMaxControlFrame = 16 << 10;
inline constexpr int64_t kSpdyWindow = 64 << 10;  // of a stream and of a connection, at first

class SpdyMux final : public Mux {
 public:
  Status Start(StreamSink* sink) override;
  Status Receive(std::string_view bytes) override;
  size_t Room(uint32_t stream) const override;
  void Send(uint32_t stream, std::string_view data) override;
  void End(uint32_t stream) override;
  void Reset(uint32_t stream) override;
  void Consumed(uint32_t stream, size_t size) override;
  void Close() override;
  bool gone() const override { return leaving_ && streams_.empty(); }
  std::string TakeOutput() override { return std::exchange(output_, {}); }

 private:
  struct Stream {
    int64_t window = 0;     // what the client takes
    uint32_t consumed = 0;  // what it was not told of yet
    bool client_ended = false, ended = false;
  };
  using Streams = std::map<uint32_t, Stream>;

  Status OnControl(uint16_t type, uint8_t flags, std::string_view payload);
  Status OnSynStream(uint8_t flags, std::string_view payload);
  Status OnHeaders(uint8_t flags, std::string_view payload);
  Status OnSettings(std::string_view payload);
  Status OnWindowUpdate(std::string_view payload);
  Status OnDataHead(uint32_t stream, uint8_t flags, uint32_t size);
  Status OnDataPart(std::string_view part);
  Status OnClientEnd(uint32_t stream);
  void ForgetIfOver(Streams::iterator stream);
  void AppendControl(uint16_t type, uint8_t flags, std::string_view payload);
  void AppendReset(uint32_t stream, uint32_t cause);
  void AppendWindowUpdate(uint32_t stream, uint32_t size);

  StreamSink* sink_ = nullptr;
  HeaderReader reader_;
  HeaderWriter writer_;
  std::string input_;  // the start of a frame
  // The data frame that is being read.
  uint32_t data_stream_ = 0, data_left_ = 0;
  bool data_ends_ = false;

  Streams streams_;
  uint32_t last_stream_ = 0;
  int64_t initial_window_ = kSpdyWindow;
  int64_t window_ = kSpdyWindow;  // of the connection
  uint32_t consumed_ = 0;
  bool has_windows_ = false;  // the client knows flow control
  bool leaving_ = false;      // it has said GOAWAY
  std::string output_;
};

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_SPDY_MUX_H_
