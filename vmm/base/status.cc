#include "vmm/base/status.h"

#include <cstring>

namespace usetl {

Status::Status(int code, std::string message)
    : rep_(std::make_shared<const Rep>(Rep{code, std::move(message)})) {}

Status Status::Errno(std::string_view context) {
  const int code = errno;
  return Status(code, std::string(context) + ": " + std::strerror(code));
}

const std::string& Status::message() const {
  static const std::string empty;
  return rep_ ? rep_->message : empty;
}

Status Status::Annotate(std::string_view context) const {
  return ok() ? *this : Status(code(), std::string(context) + ": " + message());
}

}  // namespace usetl
