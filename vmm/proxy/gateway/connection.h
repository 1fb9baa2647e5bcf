// connection.h: one client: requests in, answers out, in their order.
#ifndef USETL_VMM_PROXY_GATEWAY_CONNECTION_H_
#define USETL_VMM_PROXY_GATEWAY_CONNECTION_H_

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string>

#include "vmm/proxy/gateway/server.h"

namespace usetl::gateway {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = Server::Clock;

  Connection(Server* server, Fd fd);

  int fd() const { return fd_.get(); }
  void OnReadable();
  void OnWritable();
  // After an answer: the next request, if it is here.
  void GoOn();
  void OnDeadline();
  // The connection is over; its request is cancelled. Nothing is sent any more.
  void Abort();

  Clock::time_point deadline() const { return deadline_; }
  size_t unsent() const { return out_.size() - sent_; }
  bool wants_input() const { return !ended_ && !paused_; }
  bool ended() const { return ended_; }
  bool idle() const { return state_ == State::kReading && in_.empty() && unsent() == 0; }

 private:
  friend class Answer;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  enum class State { kReading, kAnswering, kClosing };

  // Of an answer, by its sink.
  void BeginAnswer(const pod::AnswerHead& head, std::optional<uint64_t> size);
  void AddBody(std::string_view bytes);
  void EndAnswer(const Status& status);

  // False: the request is not complete yet, or the connection is done for.
  bool ParseRequest();
  bool ParseHeader();
  bool CheckHeader();
  bool ParseBody();
  void Submit();
  // Answers with an error and closes; what else the client sends is not looked at.
  void Refuse(int status, std::string_view text);
  void Flush();
  void SetDeadline(std::chrono::seconds from_now);

  Server* const server_;
  Fd fd_;
  State state_ = State::kReading;
  std::string in_, out_;
  size_t sent_ = 0;
  bool ended_ = false;            // the client sends no more
  bool paused_ = false;           // it has sent enough ahead
  bool writing_ = false;          // waits for EPOLLOUT
  std::optional<Parser> parser_;  // of a request whose header is complete
  bool continued_ = false;        // 100 was sent, or nobody waits for it
  // Of the request under way.
  std::optional<uint64_t> number_;
  bool is_head_ = false, keep_alive_ = true, old_ = false;
  bool chunked_ = false, bodiless_ = false;
  std::string request_id_;
  pod::Endpoint client_, here_;
  Clock::time_point deadline_;
};

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_CONNECTION_H_
