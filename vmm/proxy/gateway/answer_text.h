// answer_text.h: the text of an answer's head.
#ifndef USETL_VMM_PROXY_GATEWAY_ANSWER_TEXT_H_
#define USETL_VMM_PROXY_GATEWAY_ANSWER_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/proxy/pod/reply.h"

namespace usetl::gateway {

struct AnswerText {
  int status;
  const pod::Headers* headers;   // checked: see pod::AnswerHead
  std::optional<uint64_t> size;  // of the body
  bool chunked;
  bool is_head;  // to a HEAD request
  bool keep_alive;
  bool old;  // to HTTP/1.0
  std::string_view request_id;
};

void AppendHead(const AnswerText& answer, std::string* out);
void AppendChunkSize(size_t size, std::string* out);

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_ANSWER_TEXT_H_
