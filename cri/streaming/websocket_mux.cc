#include "cri/streaming/websocket_mux.h"

namespace usetl::cri::streaming {
namespace {

constexpr int kSignal = 255;  // instead of a channel: one that the client is done with

}  // namespace

void WebSocketMux::Close() {
  constexpr std::string_view kNormal("\x03\xe8", 2);  // 1000
  if (!closed_) AppendWebSocketFrame(&output_, WebSocketOpcode::kClose, kNormal);
}

Status WebSocketMux::OnPing(std::string_view payload) {
  AppendWebSocketFrame(&output_, WebSocketOpcode::kPong, payload);
  return Status();
}

Status WebSocketMux::OnClose() {
  Close();
  closed_ = true;
  return Status();
}

Status ChannelMux::Start(StreamSink* sink) {
  sink_ = sink;
  for (uint32_t i = 0; i < channels_.size(); ++i) {
    const Channel channel = channels_[i];
    if (!channel.open) continue;
    if (channel.greet) Send(i, channel.greeting);
    USETL_RETURN_IF_ERROR(sink_->OnOpen(i, channel.headers));
  }
  return Status();
}

Status ChannelMux::OnMessage(std::string_view part, bool last) {
  if (channel_ == kNoChannel && !part.empty()) {
    channel_ = static_cast<uint8_t>(part[0]);
    part.remove_prefix(1);
  }
  Status status;
  if (signals_ && channel_ == kSignal) {
    if (signal_.size() + part.size() > 1) {
      return Status(EPROTO, "WebSocket: a close signal of a wrong length");
    }
    signal_ += part;
    if (last) status = OnSignal();
  } else if (channel_ != kNoChannel && !part.empty()) {
    // Others are ignored, as everywhere in Kubernetes.
    const auto channel = static_cast<uint32_t>(channel_);
    if (channel < channels_.size() && channels_[channel].readable) {
      status = sink_->OnData(channel, part);
    }
  }
  if (last) channel_ = kNoChannel;
  return status;
}

Status ChannelMux::OnSignal() {
  const std::string signal = std::exchange(signal_, {});
  if (signal.size() != 1 || static_cast<uint8_t>(signal[0]) >= channels_.size()) {
    return Status(EPROTO, "WebSocket: a close signal for no channel");
  }
  const uint32_t channel = static_cast<uint8_t>(signal[0]);
  if (!std::exchange(channels_[channel].readable, false)) return Status();
  return sink_->OnEnd(channel);
}

size_t ChannelMux::Room(uint32_t stream) const {
  constexpr size_t kAtOnce = 64 << 10;
  return stream < channels_.size() && channels_[stream].open ? kAtOnce : 0;
}

void ChannelMux::Send(uint32_t stream, std::string_view data) {
  if (stream >= channels_.size() || !channels_[stream].open) return;
  AppendWebSocketHead(&output_, WebSocketOpcode::kBinary, data.size() + 1);
  output_.push_back(static_cast<char>(stream));
  output_ += data;
}

void ChannelMux::Reset(uint32_t stream) {
  channels_[stream].open = channels_[stream].readable = false;
}

void TunnelMux::Close() {
  spdy_.Close();
  Wrap();
  WebSocketMux::Close();
}

std::string TunnelMux::TakeOutput() {
  Wrap();
  return std::exchange(output_, {});
}

void TunnelMux::Wrap() {
  const std::string bytes = spdy_.TakeOutput();
  if (!bytes.empty()) AppendWebSocketFrame(&output_, WebSocketOpcode::kBinary, bytes);
}

}  // namespace usetl::cri::streaming
