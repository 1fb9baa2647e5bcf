#include "vmm/proxy/gateway/http_text.h"

#include <array>
#include <cstdint>

namespace usetl::gateway {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> MakeValues() {
  std::array<int8_t, 256> values{};
  for (int8_t& value : values) value = -1;
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  }
  return values;
}
constexpr std::array<int8_t, 256> kValues = MakeValues();

// What JSON does not take as it stands.
bool IsPlain(char c) { return static_cast<uint8_t>(c) >= 0x20 && c != '"' && c != '\\'; }

void AppendEscaped(char c, std::string* to) {
  constexpr std::string_view kHex = "0123456789abcdef";
  if (c == '"' || c == '\\') {
    to->push_back('\\');
    to->push_back(c);
  } else if (c == '\n') {
    *to += "\\n";
  } else {
    *to += "\\u00";
    to->push_back(kHex[static_cast<uint8_t>(c) >> 4]);
    to->push_back(kHex[c & 15]);
  }
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const auto lead = static_cast<uint8_t>(bytes[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || bytes.size() - i < size) return false;
    for (size_t k = 1; k < size; ++k) {
      if ((static_cast<uint8_t>(bytes[i + k]) & 0xc0) != 0x80) return false;
    }
    // Longer than needed, surrogates, beyond the last character.
    const auto second = static_cast<uint8_t>(bytes[i + 1]);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
      return false;
    }
    i += size;
  }
  return true;
}

void AppendJsonUtf8(std::string_view text, std::string* to) {
  size_t done = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (IsPlain(text[i])) continue;
    to->append(text.substr(done, i - done));
    AppendEscaped(text[i], to);
    done = i + 1;
  }
  to->append(text.substr(done));
}

void AppendJsonLatin1(std::string_view text, std::string* to) {
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x80) {
      to->push_back(static_cast<char>(0xc0 | byte >> 6));
      to->push_back(static_cast<char>(0x80 | (byte & 0x3f)));
    } else if (IsPlain(c)) {
      to->push_back(c);
    } else {
      AppendEscaped(c, to);
    }
  }
}

std::optional<std::string> Utf8ToLatin1(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<uint8_t>(text[i]);
    if (lead < 0x80) {
      bytes.push_back(text[i]);
    } else if (lead <= 0xc3 && i + 1 < text.size()) {
      bytes.push_back(static_cast<char>((lead & 0x03) << 6 | (text[++i] & 0x3f)));
    } else {
      return std::nullopt;
    }
  }
  return bytes;
}

void AppendBase64(std::string_view bytes, std::string* to) {
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    const size_t size = bytes.size() - i < 3 ? bytes.size() - i : 3;
    for (size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (k < size ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      to->push_back(k <= size ? kAlphabet[bits >> (18 - 6 * k) & 63] : '=');
    }
  }
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_padding = i >= text.size() - padding;
    const int value = is_padding ? 0 : kValues[static_cast<uint8_t>(text[i])];
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (i % 4 != 3) continue;
    for (const int shift : {16, 8, 0}) bytes.push_back(static_cast<char>(bits >> shift & 0xff));
    bits = 0;
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

}  // namespace usetl::gateway
