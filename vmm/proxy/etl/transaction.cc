#include "vmm/proxy/etl/transaction.h"

namespace usetl::etl {

using abi::HttpError;

std::string_view ErrorText(HttpError error) {
  switch (error) {
    case HttpError::kNone:
      return "";
    case HttpError::kDenied:
      return "not allowed by the policy of this function";
    case HttpError::kResolve:
      return "the name was not found";
    case HttpError::kConnect:
      return "no connection to the server";
    case HttpError::kTls:
      return "TLS: certificate or handshake failed";
    case HttpError::kTimeout:
      return "timed out";
    case HttpError::kTooLarge:
      return "the answer is larger than the limit";
    case HttpError::kProtocol:
      return "the server broke HTTP or the connection";
    case HttpError::kRedirects:
      return "too many redirects, or one that cannot be followed";
    case HttpError::kBadRequest:
      return "the request is malformed";
    case HttpError::kNoSpace:
      return "the host region has no room for the answer";
    case HttpError::kCancelled:
      return "cancelled";
    case HttpError::kInternal:
      return "the ETL proxy failed";
  }
  return "";
}

Transaction::Transaction(Context* context, uint64_t id, Request request)
    : context_(context),
      id_(id),
      request_(std::move(request)),
      body_(id, request_, context->options.limits.max_request_body, context->guest,
            &context->outbox),
      writer_(id, context->region, &context->outbox, context->options.limits.stream_window),
      total_deadline_(NowNs() + uint64_t{request_.timeout_ms} * 1'000'000) {}

ResponseWriter::Mode Transaction::mode() const {
  if (request_.stream) return ResponseWriter::Mode::kStream;
  return request_.may_stream ? ResponseWriter::Mode::kStoreOrStream : ResponseWriter::Mode::kStore;
}

Status Transaction::OnConsumed(const abi::HttpSpan& span) {
  USETL_RETURN_IF_ERROR(writer_.OnConsumed(span));
  if (!done() && !draining()) Resume();
  return Status();
}

Status Transaction::OnBody(const abi::HttpSpan& span) {
  USETL_RETURN_IF_ERROR(body_.OnSpan(span));
  if (started && !draining()) Resume();
  return Status();
}

Status Transaction::OnBodyEnd() {
  USETL_RETURN_IF_ERROR(body_.OnEnd());
  if (started && !draining()) Resume();
  return Status();
}

void Transaction::Cancel() {
  Stop();
  ++context_->counters.cancelled;
  writer_.Fail(HttpError::kCancelled, ErrorText(HttpError::kCancelled));
}

void Transaction::Fail(HttpError error, std::string_view cause) {
  if (done()) return;
  Stop();
  Counters& counters = context_->counters;
  ++(error == HttpError::kDenied ? counters.denied : counters.errors);
  if (context_->options.audit) {
    context_->options.audit({id_, error, request_.method, Target(), std::string(cause)});
  }
  writer_.Fail(error, error == HttpError::kBadRequest ? cause : ErrorText(error));
}

uint64_t Transaction::deadline() const { return draining() || done() ? 0 : total_deadline_; }

void Transaction::OnTime(uint64_t now) {
  if (deadline() != 0 && now >= total_deadline_) Fail(HttpError::kTimeout, "total timeout");
}

}  // namespace usetl::etl
