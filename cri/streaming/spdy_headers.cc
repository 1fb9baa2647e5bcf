#include "cri/streaming/spdy_headers.h"

#include <algorithm>

#include "cri/streaming/big_endian.h"

namespace usetl::cri::streaming {
namespace {

Status Bad(std::string_view what) {
  return Status(EPROTO, "SPDY: a header block " + std::string(what));
}

// A length and as many bytes, taken off the front of `rest`; false when they are not there.
bool TakeText(std::string_view* rest, std::string_view* text) {
  if (rest->size() < 4) return false;
  const uint32_t size = BigEndian32(*rest);
  rest->remove_prefix(4);
  if (rest->size() < size) return false;
  *text = rest->substr(0, size);
  rest->remove_prefix(size);
  return true;
}

Result<Headers> Parse(std::string_view rest) {
  if (rest.size() < 4) return Bad("is cut off");
  const uint32_t count = BigEndian32(rest);
  if (count > kMaxHeaders) return Bad("has too many headers");
  rest.remove_prefix(4);
  Headers headers;
  for (uint32_t i = 0; i < count; ++i) {
    std::string_view name, value;
    if (!TakeText(&rest, &name) || !TakeText(&rest, &value)) return Bad("is cut off");
    if (name.empty() || std::any_of(name.begin(), name.end(), [](unsigned char c) {
          return c <= ' ' || c >= 0x7f || (c >= 'A' && c <= 'Z');
        })) {
      return Bad("has a bad name");
    }
    if (!headers.emplace(name, value).second) return Bad("has a name twice");
  }
  if (!rest.empty()) return Bad("goes on after its headers");
  return headers;
}

Bytef* Input(std::string_view bytes) {  // zlib does not write there, whatever its type says
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
}

}  // namespace

HeaderReader::~HeaderReader() {
  if (open_) inflateEnd(&zlib_);
}

Result<Headers> HeaderReader::Read(std::string_view block) {
  if (!open_) {
    if (inflateInit(&zlib_) != Z_OK) return Status(ENOMEM, "SPDY: no memory to unpack headers");
    open_ = true;
  }
  std::string text(kMaxHeaderBytes, '\0');
  zlib_.next_in = Input(block);
  zlib_.avail_in = static_cast<uInt>(block.size());
  zlib_.next_out = reinterpret_cast<Bytef*>(text.data());
  zlib_.avail_out = static_cast<uInt>(text.size());
  while (zlib_.avail_in > 0) {
    int code = inflate(&zlib_, Z_SYNC_FLUSH);
    if (code == Z_NEED_DICT) {
      code = inflateSetDictionary(&zlib_, Input(SpdyDictionary()),
                                  static_cast<uInt>(SpdyDictionary().size()));
    }
    if (code != Z_OK) return Bad("cannot be unpacked");
    if (zlib_.avail_out == 0) return Bad("is too long");
  }
  return Parse(std::string_view(text).substr(0, text.size() - zlib_.avail_out));
}

HeaderWriter::~HeaderWriter() {
  if (open_) deflateEnd(&zlib_);
}

Result<std::string> HeaderWriter::Write(const Headers& headers) {
  if (!open_) {
    // A window of 2 KiB, which the dictionary fits, and little memory: headers are short.
    constexpr int kWindowBits = 11;
    constexpr int kMemoryLevel = 2;
    if (deflateInit2(&zlib_, Z_BEST_SPEED, Z_DEFLATED, kWindowBits, kMemoryLevel,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
      return Status(ENOMEM, "SPDY: no memory to pack headers");
    }
    open_ = true;
    deflateSetDictionary(&zlib_, Input(SpdyDictionary()),
                         static_cast<uInt>(SpdyDictionary().size()));
  }
  std::string text;
  AppendBigEndian32(&text, static_cast<uint32_t>(headers.size()));
  for (const auto& [name, value] : headers) {
    for (const std::string& part : {name, value}) {
      AppendBigEndian32(&text, static_cast<uint32_t>(part.size()));
      text += part;
    }
  }
  zlib_.next_in = Input(text);
  zlib_.avail_in = static_cast<uInt>(text.size());
  std::string block;
  do {
    char part[512];
    zlib_.next_out = reinterpret_cast<Bytef*>(part);
    zlib_.avail_out = sizeof part;
    deflate(&zlib_, Z_SYNC_FLUSH);
    block.append(part, sizeof part - zlib_.avail_out);
  } while (zlib_.avail_out == 0);
  return block;
}

}  // namespace usetl::cri::streaming
