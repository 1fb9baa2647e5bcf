// mux.h: the streams that one client's connection carries, whichever protocol it speaks.
#ifndef USETL_CRI_STREAMING_MUX_H_
#define USETL_CRI_STREAMING_MUX_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "vmm/base/status.h"

namespace usetl::cri::streaming {

// Names are lower case.
using Headers = std::map<std::string, std::string, std::less<>>;

// Of a stream, lower case; see k8s.io/api/core/v1.
inline constexpr std::string_view kStreamType = "streamtype";
inline constexpr std::string_view kPort = "port";
inline constexpr std::string_view kRequestId = "requestid";

// Whoever uses the streams. Called within Mux::Start and Mux::Receive; may call the mux. An error
// ends the connection.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  virtual Status OnOpen(uint32_t stream, const Headers& headers) = 0;
  // Whoever has used the bytes says so by Mux::Consumed.
  virtual Status OnData(uint32_t stream, std::string_view data) = 0;
  // The client sends no more on it.
  virtual Status OnEnd(uint32_t stream) = 0;
  // The client neither sends nor reads any more on it; it is forgotten.
  virtual void OnReset(uint32_t stream) = 0;
};

// No thread of its own, no socket: bytes in, bytes out. Calls for streams that are forgotten do
// nothing.
class Mux {
 public:
  virtual ~Mux() = default;

  // Before anything else. `sink` must outlive this.
  virtual Status Start(StreamSink* sink) = 0;
  // What the client sent. EPROTO: it breaks the rules; the connection must end.
  virtual Status Receive(std::string_view bytes) = 0;
  // Bytes that the client's window has room for.
  virtual size_t Room(uint32_t stream) const = 0;
  // REQUIRES: data.size() <= Room(stream).
  virtual void Send(uint32_t stream, std::string_view data) = 0;
  // No more will be sent on it.
  virtual void End(uint32_t stream) = 0;
  // Neither direction is used any more.
  virtual void Reset(uint32_t stream) = 0;
  virtual void Consumed(uint32_t stream, size_t size) = 0;
  // Says goodbye; the last call but TakeOutput.
  virtual void Close() = 0;
  // The client said goodbye, and no stream is left.
  virtual bool gone() const = 0;
  // What is to be sent since the last call.
  virtual std::string TakeOutput() = 0;
};

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_MUX_H_
