#include "vmm/proxy/pod/front.h"

namespace usetl::pod {

// Hands one answer to the gateway.
class Front::Sink final : public AnswerSink {
 public:
  Sink(Front* front, uint64_t id) : front_(front), id_(id) {}
  void OnHead(const AnswerHead& head, std::optional<uint64_t> size) override {
    front_->server_->Answer(id_, head, size);
  }
  void OnData(std::string_view bytes) override {
    if (!front_->server_->AnswerData(id_, bytes)) front_->slow_.insert(id_);
  }
  void OnBodyTaken(uint64_t bytes) override { front_->server_->BodyTaken(id_, bytes); }
  void OnEnd(const Status& status) override {
    front_->calls_.erase(id_);
    front_->slow_.erase(id_);
    if (status.ok()) {
      front_->server_->AnswerEnd(id_);
    } else {
      front_->server_->AnswerError(id_, 502, "the answer was cut off");
    }
  }

 private:
  Front* const front_;
  const uint64_t id_;
};

Result<std::unique_ptr<Front>> Front::Open(std::vector<Fd> ports, Invoker* invoker, bool streams) {
  std::unique_ptr<Front> front(new Front(invoker));
  gateway::Options options;
  options.stream_bodies = streams;
  Result<std::unique_ptr<gateway::Server>> server = gateway::Server::Create(options, front.get());
  if (!server.ok()) return server.status();
  front->server_ = std::move(*server);
  USETL_RETURN_IF_ERROR(front->server_->Listen(std::move(ports)));
  return front;
}

Front::~Front() {
  // Their sinks would call a server that is gone.
  for (const auto& [id, number] : calls_) invoker_->Cancel(number);
}

void Front::Submit(uint64_t id, gateway::Request request) {
  // The invoker may answer at once, and then the number is of no use.
  calls_.emplace(id, 0);
  const uint64_t number = invoker_->Invoke(std::move(request), std::make_unique<Sink>(this, id));
  if (const auto call = calls_.find(id); call != calls_.end()) call->second = number;
}

void Front::OnBody(uint64_t id, std::string_view bytes) {
  if (const auto call = calls_.find(id); call != calls_.end()) invoker_->Body(call->second, bytes);
}

void Front::OnBodyEnd(uint64_t id) {
  if (const auto call = calls_.find(id); call != calls_.end()) invoker_->BodyEnd(call->second);
}

void Front::Cancel(uint64_t id) {
  slow_.erase(id);
  const auto call = calls_.find(id);
  if (call == calls_.end()) return;
  const uint64_t number = call->second;
  calls_.erase(call);
  invoker_->Cancel(number);
}

}  // namespace usetl::pod
