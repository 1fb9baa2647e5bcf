// http2.h: HTTP/2 over one connection, by libnghttp2.
//
// Each stream is a request. Answers wait in their stream until flow control and the socket have
// room; a stream that has too much unsent makes its function wait.
#ifndef USETL_VMM_PROXY_GATEWAY_HTTP2_H_
#define USETL_VMM_PROXY_GATEWAY_HTTP2_H_

#include <nghttp2/nghttp2.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "vmm/proxy/gateway/connection.h"

namespace usetl::gateway {

class Http2 : public Protocol {
 public:
  static Result<std::unique_ptr<Http2>> Create(Connection* connection);
  ~Http2() override;

  // For "Upgrade: h2c": `settings` in base64url; `first` becomes stream 1. False: they are
  // malformed, and `first` stays as it was.
  bool Upgrade(std::string_view settings, Request&& first);

  size_t OnInput(std::string_view bytes) override;
  void OnBecome() override;
  bool WantsInput() const override { return true; }
  bool OnEndOfInput() override { return true; }
  void OnSent() override;
  void Answer(uint64_t id, uint32_t stream, AnswerHead head, std::optional<uint64_t> size) override;
  bool AnswerData(uint64_t id, uint32_t stream, std::string_view bytes) override;
  void AnswerEnd(uint64_t id, uint32_t stream) override;
  void BreakOff(uint64_t id, uint32_t stream) override;
  void OnBodyTaken(uint32_t stream, uint64_t bytes, bool waited) override;
  std::string RequestIdOf(uint32_t stream) const override;
  void Drain() override;
  uint64_t Deadline() const override;
  void OnDeadline() override;
  void CancelAll() override;

 private:
  struct Stream {
    Request request;
    std::string request_id;
    size_t header_bytes = 0;
    int refusal = 0;  // answered by the gateway itself
    bool complete = false;
    bool streams = false;  // submitted before its body is complete, or about to be
    bool is_head = false;
    // Of the body: its last piece; since when, and how much has come since then.
    uint64_t body_last = 0, body_since = 0, body_got = 0;
    uint64_t charged = 0;  // for the body, until it is the ticket's
    uint64_t id = 0;       // of the ticket
    bool answered = false;
    std::string out;  // charged too
    size_t sent = 0;
    uint64_t left = 0;  // of an answer of known size
    bool sized = false;
    bool no_body = false;
    bool ended = false;      // nothing is added to `out`
    bool head_only = false;  // the answer's head ends the stream
    uint64_t stalled_since = 0;
  };
  using Session = nghttp2_session;

  explicit Http2(Connection* connection);
  // What nghttp2 calls.
  static int OnBeginHeaders(Session*, const nghttp2_frame* frame, void* self);
  static int OnHeader(Session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t flags, void* self);
  static int OnFrame(Session*, const nghttp2_frame* frame, void* self);
  static int OnData(Session*, uint8_t flags, int32_t stream, const uint8_t* data, size_t size,
                    void* self);
  static int OnStreamClose(Session*, int32_t stream, uint32_t error, void* self);
  static ssize_t OnRead(Session*, int32_t stream, uint8_t* to, size_t size, uint32_t* flags,
                        nghttp2_data_source* source, void* self);

  Stream* FindStream(uint32_t number);
  // When the client has been too slow with a stream's body.
  uint64_t BodyDeadline(const Stream& stream) const;
  void OnHeadComplete(uint32_t number, Stream* stream);
  void EndRequest(int32_t number);
  // False: more of what costs only us than a client may send.
  bool CountUnproductive(uint32_t weight);
  void SubmitComplete();
  void SubmitStream(uint32_t number, Stream* stream);
  // Hands on what has come of a body since its request was submitted, and its end.
  void SubmitBody(uint32_t number, Stream* stream);
  void RefuseStream(uint32_t number, Stream* stream);
  // Takes no more of a body whose request the backend has.
  void BreakBody(uint32_t number, Stream* stream);
  // Takes from nghttp2 what fits the connection's buffer. False: it failed.
  bool Gather();
  // Moves what nghttp2 has for the client to the socket.
  void Pump();
  void Terminate(uint32_t error);

  Connection* const connection_;
  Session* session_ = nullptr;
  std::unordered_map<uint32_t, std::unique_ptr<Stream>> streams_;
  std::vector<uint32_t> complete_;   // to be submitted, or refused
  std::vector<uint32_t> partial_;    // streamed, and something of the body has come
  std::vector<uint64_t> cancelled_;  // tickets whose stream is gone
  bool busy_ = false;                // within a call of nghttp2's or the backend's
  bool draining_ = false, flooded_ = false;
  uint64_t since_;  // the last byte that made a request go on, or idle
  uint64_t window_begun_ = 0;
  uint32_t unproductive_ = 0;
};

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_HTTP2_H_
