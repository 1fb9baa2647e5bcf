#include "vmm/proxy/gateway/answer_text.h"

#include <time.h>

#include <boost/beast/http/status.hpp>
#include <charconv>

namespace usetl::gateway {
namespace {

template <typename Number>
void AppendNumber(Number number, int base, std::string* out) {
  char text[24];
  const auto result = std::to_chars(text, text + sizeof text, number, base);
  out->append(text, result.ptr);
}

// RFC 9110, section 5.6.7; made once a second.
std::string_view Date() {
  static time_t made = 0;
  static char text[40];
  const time_t now = time(nullptr);
  if (now != made) {
    tm parts;
    gmtime_r(&now, &parts);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    made = now;
  }
  return text;
}

}  // namespace

void AppendHead(const AnswerText& answer, std::string* out) {
  out->append("HTTP/1.1 ");
  AppendNumber(answer.status, 10, out);
  out->push_back(' ');
  const auto reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(answer.status));
  out->append(reason.data(), reason.size());
  out->append("\r\ndate: ").append(Date());
  bool has_id = false;
  for (const auto& [name, value] : *answer.headers) {
    has_id = has_id || name == "x-request-id";
    out->append("\r\n").append(name).append(": ").append(value);
  }
  if (!has_id) out->append("\r\nx-request-id: ").append(answer.request_id);
  const bool sized = answer.status != 204 && (answer.status != 304 || answer.is_head);
  if (answer.chunked) {
    out->append("\r\ntransfer-encoding: chunked");
  } else if (answer.size && sized) {
    out->append("\r\ncontent-length: ");
    AppendNumber(*answer.size, 10, out);
  }
  if (!answer.keep_alive) {
    out->append("\r\nconnection: close");
  } else if (answer.old) {
    out->append("\r\nconnection: keep-alive");
  }
  out->append("\r\n\r\n");
}

void AppendChunkSize(size_t size, std::string* out) {
  AppendNumber(size, 16, out);
  out->append("\r\n");
}

}  // namespace usetl::gateway
