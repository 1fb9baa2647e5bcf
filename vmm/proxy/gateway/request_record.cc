#include "vmm/proxy/gateway/request_record.h"

#include <cstdio>

#include "vmm/proxy/gateway/http_text.h"

namespace usetl::gateway {
namespace {

void AppendText(std::string_view key, std::string_view latin1, std::string* to) {
  to->append(key);
  to->push_back('"');
  AppendJsonLatin1(latin1, to);
  to->push_back('"');
}

void AppendEndpoint(std::string_view key, const Endpoint& endpoint, std::string* to) {
  to->append(key);
  if (endpoint.address.empty()) {
    to->append("null");
    return;
  }
  AppendText("[", endpoint.address, to);
  to->append(",").append(std::to_string(endpoint.port)).append("]");
}

}  // namespace

Status WriteRequestRecord(const Request& request, const RecordOptions& options,
                          std::string* record) {
  record->clear();
  const Status too_long(E2BIG, "the request does not fit a record");
  // Before anything is copied: a body that cannot fit may be large.
  const bool within = options.body_path.empty() && !request.body_follows;
  if (within && request.body.size() > options.max_size) return too_long;
  record->push_back('{');
  if (options.unread) {
    record->append("\"unread\":").append(std::to_string(*options.unread)).push_back(',');
  }
  AppendText("\"context\":{\"request_id\":", request.request_id, record);
  if (options.deadline) {
    char number[40];
    std::snprintf(number, sizeof number, ",\"deadline\":%.6f", *options.deadline);
    record->append(number);
  }
  AppendText("},\"http\":{\"method\":", request.method, record);
  AppendText(",\"path\":", request.path, record);
  AppendText(",\"query\":", request.query, record);
  AppendText(",\"scheme\":", request.scheme, record);
  AppendText(",\"http_version\":", request.http_version, record);
  AppendEndpoint(",\"client\":", request.client, record);
  AppendEndpoint(",\"server\":", request.server, record);
  record->append(",\"headers\":[");
  bool first = true;
  for (const auto& [name, value] : request.headers) {
    AppendText(first ? "[" : ",[", name, record);
    AppendText(",", value, record);
    record->push_back(']');
    first = false;
  }
  record->push_back(']');
  if (request.body_follows) {
    record->append(",\"body_stream\":true");
  } else if (!within) {
    AppendText(",\"body_path\":", options.body_path, record);
  } else if (!request.body.empty() && IsUtf8(request.body)) {
    record->append(",\"body\":\"");
    AppendJsonUtf8(request.body, record);
    record->push_back('"');
  } else if (!request.body.empty()) {
    record->append(",\"body_base64\":\"");
    AppendBase64(request.body, record);
    record->push_back('"');
  }
  record->append("}}");
  return record->size() > options.max_size ? too_long : Status();
}

}  // namespace usetl::gateway
