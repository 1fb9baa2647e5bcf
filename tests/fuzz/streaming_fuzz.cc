// What clients of streams send: SPDY, WebSocket's channels, SPDY within WebSocket, HTTP heads. In
// pieces or at once it means the same, and what is sent back keeps to the client's window.
#include <algorithm>
#include <memory>

#include "cri/streaming/handshake.h"
#include "cri/streaming/websocket_mux.h"

namespace {

using namespace usetl;                  // NOLINT
using namespace usetl::cri::streaming;  // NOLINT

// Answers a little of everything, and remembers what it was told.
class Sink final : public StreamSink {
 public:
  explicit Sink(Mux* mux) : mux_(*mux) {}
  Status OnOpen(uint32_t stream, const Headers& headers) override {
    if (headers.size() > kMaxHeaders) __builtin_trap();
    story += "open " + std::to_string(stream) + "\n";
    Answer(stream);
    return Status();
  }
  Status OnData(uint32_t stream, std::string_view data) override {
    bytes += data.size();
    mux_.Consumed(stream, data.size());
    return Status();
  }
  Status OnEnd(uint32_t stream) override {
    story += "end " + std::to_string(stream) + "\n";
    Answer(stream);
    mux_.End(stream);
    if (mux_.Room(stream) != 0) __builtin_trap();
    return Status();
  }
  void OnReset(uint32_t stream) override {
    story += "reset " + std::to_string(stream) + "\n";
    if (mux_.Room(stream) != 0) __builtin_trap();
  }

  std::string story;
  size_t bytes = 0;

 private:
  void Answer(uint32_t stream) {
    const size_t room = mux_.Room(stream);
    mux_.Send(stream, std::string(std::min<size_t>(room, 100), 'a'));
  }
  Mux& mux_;
};

std::unique_ptr<Mux> Make(uint8_t kind) {
  if (kind == 0) return std::make_unique<SpdyMux>();
  if (kind == 1) return std::make_unique<TunnelMux>();
  Channel channel;
  channel.open = channel.readable = channel.greet = true;
  return std::make_unique<ChannelMux>(std::vector<Channel>(5, channel), kind == 2);
}

std::string Tell(uint8_t kind, std::string_view bytes, size_t piece) {
  const std::unique_ptr<Mux> mux = Make(kind);
  Sink sink(mux.get());
  Status status = mux->Start(&sink);
  while (status.ok() && !bytes.empty()) {
    const std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    status = mux->Receive(part);
    (void)mux->TakeOutput();
  }
  mux->Close();
  (void)mux->TakeOutput();
  return sink.story + std::to_string(sink.bytes) + " " + status.message();
}

}  // namespace

// The first byte is the protocol, the second the size of pieces.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const uint8_t kind = data[0] % 5;
  if (kind == 4) {
    const Result<HttpHead> head = ParseHead(bytes);
    for (const auto request : {StreamRequest::Kind::kExec, StreamRequest::Kind::kPortForward}) {
      if (!head.ok()) break;
      const Handshake handshake = Negotiate(*head, request);
      // One head: nothing that the client sent can end it early.
      const size_t end = handshake.response.find("\r\n\r\n");
      if (end == std::string::npos) __builtin_trap();
      if (handshake.transport != Handshake::Transport::kRefused &&
          end + 4 != handshake.response.size()) {
        __builtin_trap();
      }
    }
    return 0;
  }
  if (Tell(kind, bytes, bytes.size() + 1) != Tell(kind, bytes, data[1] % 16 + 1)) {
    __builtin_trap();
  }
  return 0;
}
