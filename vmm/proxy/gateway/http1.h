// http1.h: HTTP/1.0 and 1.1 over one connection.
//
// One request at a time: pipelined ones wait, unread, until the one before is answered, so answers
// come in order and what waits is bounded by one read and the socket's buffer.
#ifndef USETL_VMM_PROXY_GATEWAY_HTTP1_H_
#define USETL_VMM_PROXY_GATEWAY_HTTP1_H_

#include "vmm/proxy/gateway/chunk_decoder.h"
#include "vmm/proxy/gateway/connection.h"
#include "vmm/proxy/gateway/head_parser.h"

namespace usetl::gateway {

class Http1 : public Protocol {
 public:
  explicit Http1(Connection* connection);

  size_t OnInput(std::string_view bytes) override;
  bool WantsInput() const override;
  bool OnEndOfInput() override { return state_ == State::kAnswering; }
  void OnSent() override;
  void Answer(uint64_t id, uint32_t stream, AnswerHead head, std::optional<uint64_t> size) override;
  bool AnswerData(uint64_t id, uint32_t stream, std::string_view bytes) override;
  void AnswerEnd(uint64_t id, uint32_t stream) override;
  void BreakOff(uint64_t id, uint32_t stream) override;
  void OnBodyTaken(uint32_t, uint64_t, bool waited) override;
  std::string RequestIdOf(uint32_t) const override { return request_id_; }
  void Drain() override;
  uint64_t Deadline() const override;
  void OnDeadline() override;
  void CancelAll() override;

 private:
  enum class State { kHead, kLength, kChunks, kAnswering };
  enum class Framing { kLength, kChunked, kUntilClose, kNone };
  // Of answers, unsent: beyond it the function waits, and so does the next request.
  static constexpr size_t kHighWater = 256 << 10;

  // Each uses a piece of `bytes`; 0: more is needed, or the request is complete.
  size_t TakeHead(std::string_view bytes);
  size_t TakeLength(std::string_view bytes);
  size_t TakeChunks(std::string_view bytes);
  bool StartH2c(std::string_view settings);
  bool IsInBody() const { return state_ == State::kLength || state_ == State::kChunks; }
  // Whether the request goes to the backend before its body is complete.
  bool Streams() const;
  std::string TooLarge() const;  // what is said of the request's body then
  // Accounts for what has come of the body, or hands it on when the request is submitted already.
  // False: the request is over, as a rule because too much is held.
  bool TakeBody(std::string_view bytes);
  // The body is complete.
  void EndBody();
  void Submit(bool body_follows);
  // Answers without the backend, and closes.
  void Refuse(int status, std::string_view text);
  // The same in the midst of a body, when the backend may have begun its answer.
  void FailBody(int status, std::string_view text);

  Connection* const connection_;
  State state_ = State::kHead;
  // Of the request that is read or answered.
  Request request_;
  uint64_t body_left_ = 0;
  ChunkDecoder chunks_;
  uint64_t charged_ = 0;
  uint64_t id_ = 0;  // 0: the backend has no request
  // Of the body: since when, and how much has come since then.
  uint64_t body_since_ = 0, body_got_ = 0;
  uint64_t since_;      // idle, or the head's first byte, or the body's last one
  size_t scanned_ = 0;  // bytes of an incomplete head that hold no end
  bool head_begun_ = false;
  bool sending_ = false;  // the answer before is not all sent
  bool fresh_ = true;     // no byte has come yet: it may become HTTP/2
  bool keep_alive_ = true;
  bool is_head_ = false;
  bool is_1_1_ = true;
  std::string request_id_;
  // Of its answer.
  Framing framing_ = Framing::kNone;
  uint64_t answer_left_ = 0;
};

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_HTTP1_H_
