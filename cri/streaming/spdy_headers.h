// spdy_headers.h: header blocks of SPDY/3.1: zlib with a dictionary, one stream for a connection.
#ifndef USETL_CRI_STREAMING_SPDY_HEADERS_H_
#define USETL_CRI_STREAMING_SPDY_HEADERS_H_

#include <zlib.h>

#include <string>
#include <string_view>

#include "cri/streaming/mux.h"
#include "vmm/base/status.h"

namespace usetl::cri::streaming {

inline constexpr size_t kMaxHeaderBytes = 16 << 10;  // of a block, unpacked
inline constexpr uint32_t kMaxHeaders = 64;

// What the protocol presets both sides' compression with.
const std::string& SpdyDictionary();

class HeaderReader {
 public:
  HeaderReader() = default;
  ~HeaderReader();
  HeaderReader(const HeaderReader&) = delete;
  HeaderReader& operator=(const HeaderReader&) = delete;

  // Blocks in the order in which they came. EPROTO: it cannot be read, and nothing after it can.
  Result<Headers> Read(std::string_view block);

 private:
  z_stream zlib_{};
  bool open_ = false;
};

class HeaderWriter {
 public:
  HeaderWriter() = default;
  ~HeaderWriter();
  HeaderWriter(const HeaderWriter&) = delete;
  HeaderWriter& operator=(const HeaderWriter&) = delete;

  // ENOMEM.
  Result<std::string> Write(const Headers& headers);

 private:
  z_stream zlib_{};
  bool open_ = false;
};

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_SPDY_HEADERS_H_
