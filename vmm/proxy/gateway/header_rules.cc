#include "vmm/proxy/gateway/header_rules.h"

#include <algorithm>

namespace usetl::gateway {
namespace {

bool IsTokenChar(char c) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kMarks.find(c) != kMarks.npos;
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

template <size_t N>
bool IsOneOf(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// What a client must not take out by naming it in Connection.
bool IsProtected(std::string_view name) {
  constexpr std::string_view kNames[] = {"host",          "content-length", "content-type",
                                         "authorization", "cookie",         "forwarded",
                                         "x-request-id"};
  return name.substr(0, 12) == "x-forwarded-" || IsOneOf(name, kNames);
}

}  // namespace

bool IsHeaderName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), IsTokenChar);
}

bool IsHeaderValue(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return (byte >= 0x20 && byte != 0x7f) || c == '\t';
  });
}

bool IsHost(std::string_view value) { return value.find_first_of(" \t,/?#@\\") == value.npos; }

bool IsHopByHop(std::string_view name) {
  constexpr std::string_view kNames[] = {"connection", "keep-alive",    "proxy-connection",
                                         "te",         "trailer",       "transfer-encoding",
                                         "upgrade",    "http2-settings"};
  return IsOneOf(name, kNames);
}

bool IsGatewaysOwn(std::string_view name) {
  return IsHopByHop(name) || name == "content-length" || name == "x-request-id";
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  return lower;
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

bool HasToken(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (EqualsIgnoreCase(Trim(list.substr(0, comma)), token)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

std::string_view Find(const Headers& headers, std::string_view name) {
  for (const auto& header : headers) {
    if (header.first == name) return header.second;
  }
  return {};
}

void Set(Headers* headers, std::string_view name, std::string value) {
  const auto same = [name](const auto& header) { return header.first == name; };
  headers->erase(std::remove_if(headers->begin(), headers->end(), same), headers->end());
  headers->emplace_back(name, std::move(value));
}

void DropHopByHop(Headers* headers, std::string_view connection) {
  const auto ends_here = [connection](const auto& header) {
    return IsHopByHop(header.first) || header.first == "expect" ||
           (!connection.empty() && !IsProtected(header.first) &&
            HasToken(connection, header.first));
  };
  headers->erase(std::remove_if(headers->begin(), headers->end(), ends_here), headers->end());
}

std::string SaneRequestId(const Headers& headers) {
  const std::string_view id = Find(headers, "x-request-id");
  const bool sane = id.size() <= 128 &&
                    std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  return std::string(sane ? id : std::string_view());
}

bool SplitTarget(std::string_view target, Request* request, std::string* authority) {
  if (target.empty() || target.find('#') != target.npos) return false;
  const bool visible = std::all_of(target.begin(), target.end(), [](char c) {
    return static_cast<uint8_t>(c) > 0x20 && c != 0x7f;
  });
  if (!visible) return false;
  if (target == "*") {
    request->path = "*";
    return request->method == "OPTIONS";
  }
  if (target.front() != '/') {
    const size_t scheme = target.find("://");
    if (scheme == target.npos || (!EqualsIgnoreCase(target.substr(0, scheme), "http") &&
                                  !EqualsIgnoreCase(target.substr(0, scheme), "https"))) {
      return false;
    }
    target.remove_prefix(scheme + 3);
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    *authority = target.substr(0, end);
    if (authority->empty() || !IsHost(*authority)) return false;
    target.remove_prefix(end);
  }
  const size_t mark = std::min(target.find('?'), target.size());
  request->path = mark == 0 ? "/" : std::string(target.substr(0, mark));
  request->query = target.substr(std::min(mark + 1, target.size()));
  return true;
}

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

std::string ErrorBody(std::string_view text, std::string_view request_id) {
  std::string body = "{\"error\":\"";
  const auto append = [&body](std::string_view part) {
    for (const char c : part) {
      if (c == '"' || c == '\\') body.push_back('\\');
      body.push_back(c >= 0x20 && c < 0x7f ? c : ' ');
    }
  };
  append(text);
  body += "\"";
  if (!request_id.empty()) {
    body += ",\"requestId\":\"";
    append(request_id);
    body += "\"";
  }
  return body += "}\n";
}

}  // namespace usetl::gateway
