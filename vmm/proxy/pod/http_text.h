// http_text.h: encodings between HTTP, whose text is bytes, and JSON, whose text is Unicode.
#ifndef USETL_VMM_PROXY_POD_HTTP_TEXT_H_
#define USETL_VMM_PROXY_POD_HTTP_TEXT_H_

#include <optional>
#include <string>
#include <string_view>

namespace usetl::pod {

bool IsUtf8(std::string_view bytes);
// Each byte becomes the character of that number (latin-1), in UTF-8.
std::string Latin1ToUtf8(std::string_view bytes);
// The other way; none when a character has no such byte. REQUIRES: UTF-8.
std::optional<std::string> Utf8ToLatin1(std::string_view text);
// Strict: with padding, without line feeds. None when it is no base64.
std::optional<std::string> DecodeBase64(std::string_view text);

// What may stand in a header of an answer.
bool IsHeaderName(std::string_view name);
bool IsHeaderValue(std::string_view value);
// Belongs to a connection, or says where a body ends: the gateway's, not the function's. `name` is
// in lower case.
bool IsGatewaysOwn(std::string_view name);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_HTTP_TEXT_H_
