#include "vmm/proxy/etl/file_transfer.h"

#include <unistd.h>

#include <algorithm>

namespace usetl::etl {
namespace {

using abi::HttpError;

constexpr size_t kStep = 4 << 20;

}  // namespace

std::string FileTransfer::Target() const {
  return request_.url.substr(0, request_.url.find_first_of("?#"));
}

void FileTransfer::Stop() {
  reader_.reset();
  object_.reset();
}

void FileTransfer::Start() {
  const std::string& method = request_.method;
  if (method == "GET" || method == "HEAD") return StartReading();
  if (method == "PUT" || method == "POST") return StartWriting();
  if (method != "DELETE") return Answer(405, "Allow: GET, HEAD, PUT, POST, DELETE\r\n");
  const Status removed = context_->options.objects.Remove(request_.url);
  if (removed.ok()) return Answer(204);
  AnswerError(removed);
}

void FileTransfer::Answer(int status, std::string headers) {
  Stop();
  body_.Sink();
  HttpError error =
      writer_.Begin(status, "Content-Length: 0\r\n" + headers, 0, ResponseWriter::Mode::kStore);
  if (error == HttpError::kNone) error = writer_.Finish();
  if (error != HttpError::kNone) Fail(error, "no room for the answer");
}

void FileTransfer::AnswerError(const Status& status) {
  switch (status.code()) {
    case EPERM:
      return Fail(HttpError::kDenied, status.message());
    case EINVAL:
      return Fail(HttpError::kBadRequest, status.message());
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ENAMETOOLONG:
      return Answer(404);
    case EACCES:
    case EROFS:
    case EXDEV:
    case ELOOP:
      return Answer(403);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Answer(507);
    default:
      return Fail(HttpError::kInternal, status.message());
  }
}

void FileTransfer::StartReading() {
  Result<ObjectReader> reader = context_->options.objects.Open(request_.url);
  if (!reader.ok()) return AnswerError(reader.status());
  reader_ = std::move(*reader);
  const std::string headers = "Content-Length: " + std::to_string(reader_->size) + "\r\n";
  const bool head_only = request_.method == "HEAD";
  if (!head_only && reader_->size > request_.max_body) {
    return Fail(HttpError::kTooLarge, "the object is larger than the limit");
  }
  const uint64_t size = head_only ? 0 : reader_->size;
  HttpError error = writer_.Begin(200, headers, size, mode());
  if (error == HttpError::kNone && size == 0) error = writer_.Finish();
  if (error != HttpError::kNone) return Fail(error, "no room for the object");
  if (done()) Stop();
}

void FileTransfer::StartWriting() {
  Result<ObjectWriter> object = context_->options.objects.Create(request_.url);
  if (!object.ok()) return AnswerError(object.status());
  object_.emplace(std::move(*object));
}

bool FileTransfer::Step() {
  if (done() || draining() || stalled_) return false;
  const bool more = reader_ ? StepReading() : object_ ? StepWriting() : false;
  return more && !done() && !draining();
}

bool FileTransfer::StepReading() {
  size_t left = static_cast<size_t>(std::min<uint64_t>(kStep, reader_->size - offset_));
  while (left != 0) {
    ResponseWriter::Write room_result;
    const std::span<uint8_t> room = writer_.Room(left, &room_result);
    if (room.empty()) {
      writer_.Flush();
      if (room_result == ResponseWriter::Write::kNoSpace) Fail(HttpError::kNoSpace, "region full");
      stalled_ = true;
      return false;
    }
    const ssize_t n =
        pread(reader_->fd.get(), room.data(), room.size(), static_cast<off_t>(offset_));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      Fail(HttpError::kProtocol, n == 0 ? "the object became shorter" : "the object is unreadable");
      return false;
    }
    writer_.Commit(static_cast<size_t>(n));
    context_->counters.bytes_in += static_cast<uint64_t>(n);
    offset_ += static_cast<uint64_t>(n);
    left -= static_cast<size_t>(n);
  }
  if (offset_ != reader_->size) return true;
  Stop();
  const HttpError error = writer_.Finish();
  if (error != HttpError::kNone) Fail(error, "no entry for the body");
  return false;
}

bool FileTransfer::StepWriting() {
  for (size_t written = 0; written < kStep;) {
    std::span<const uint8_t> bytes;
    switch (body_.Peek(&bytes)) {
      case RequestBody::State::kWait:
        stalled_ = true;
        return false;
      case RequestBody::State::kWrongLength:
        Fail(HttpError::kBadRequest, "the body is not as long as announced");
        return false;
      case RequestBody::State::kTooLarge:
        Fail(HttpError::kBadRequest, "the body is larger than the limit");
        return false;
      case RequestBody::State::kEnd: {
        const Result<bool> fresh = object_->Commit();
        if (fresh.ok()) {
          Answer(*fresh ? 201 : 204);
        } else {
          AnswerError(fresh.status());
        }
        return false;
      }
      case RequestBody::State::kBytes:
        break;
    }
    const size_t part = std::min(bytes.size(), kStep - written);
    if (const Status status = object_->Write(bytes.data(), part); !status.ok()) {
      AnswerError(status);
      return false;
    }
    body_.Use(part);
    context_->counters.bytes_out += part;
    written += part;
  }
  return true;
}

}  // namespace usetl::etl
