// http_text.h: encodings between HTTP, whose text is bytes, and JSON, whose text is Unicode.
#ifndef USETL_VMM_PROXY_GATEWAY_HTTP_TEXT_H_
#define USETL_VMM_PROXY_GATEWAY_HTTP_TEXT_H_

#include <optional>
#include <string>
#include <string_view>

namespace usetl::gateway {

bool IsUtf8(std::string_view bytes);
// Both append `text` as it stands within the quotes of a JSON string. Latin-1: each byte is the
// character of that number.
void AppendJsonUtf8(std::string_view text, std::string* to);  // REQUIRES: IsUtf8(text)
void AppendJsonLatin1(std::string_view text, std::string* to);
// The bytes of latin-1 text; none when a character has no byte. REQUIRES: UTF-8.
std::optional<std::string> Utf8ToLatin1(std::string_view text);

void AppendBase64(std::string_view bytes, std::string* to);
// Strict: padded, no other characters. None when it is not base64.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_HTTP_TEXT_H_
