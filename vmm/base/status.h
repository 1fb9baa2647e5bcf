// status.h: errors as values. A Status is OK or an errno with one line of text.
//
// Context is added once, where the cause is known: "open /dev/kvm: Permission denied". No function
// of this project throws across a module's boundary.
#ifndef USETL_VMM_BASE_STATUS_H_
#define USETL_VMM_BASE_STATUS_H_

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace usetl {

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK; costs nothing
  // `code` is an errno value; `message` says what failed and, where known, the remedy.
  Status(int code, std::string message);
  // "context: strerror(errno)"; reads errno at once.
  static Status Errno(std::string_view context);

  bool ok() const { return rep_ == nullptr; }
  int code() const { return rep_ ? rep_->code : 0; }
  const std::string& message() const;
  // The same error, its text preceded by "context: ".
  Status Annotate(std::string_view context) const;

 private:
  struct Rep {
    int code;
    std::string message;
  };
  std::shared_ptr<const Rep> rep_;
};

// A value or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit on purpose
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: implicit on purpose

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  // REQUIRES: ok().
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace usetl

// Returns the error of `expression` from the enclosing function, if it is one.
#define USETL_RETURN_IF_ERROR(expression)                                                     \
  do {                                                                                        \
    if (::usetl::Status usetl_status = (expression); !usetl_status.ok()) return usetl_status; \
  } while (false)

#endif  // USETL_VMM_BASE_STATUS_H_
