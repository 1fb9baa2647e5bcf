// JSON that a guest sends in place of an answer; what passes can be sent to a client as it is.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "vmm/base/json_text.h"
#include "vmm/proxy/gateway/answer_record.h"
#include "vmm/proxy/gateway/header_rules.h"

namespace {

void Check(const usetl::gateway::AnswerHead& head) {
  if (head.status < 200 || head.status > 599) abort();
  if (head.headers.size() > usetl::gateway::kMaxHeaders) abort();
  for (const auto& [name, value] : head.headers) {
    if (!usetl::gateway::IsHeaderName(name) || !usetl::gateway::IsHeaderValue(value)) abort();
    if (usetl::gateway::IsGatewaysOwn(name)) abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto head = usetl::gateway::ParseAnswerHead(text);
  if (head.ok()) Check(*head);
  auto parsed = usetl::ParseJson(text, "answer");
  if (!parsed.ok()) return 0;
  auto answer = usetl::gateway::ReadAnswer(*parsed);
  if (answer.ok()) Check(answer->head);
  return 0;
}
