// chunk_decoder.h: the chunked coding of a body (RFC 9112 7.1), read strictly.
#ifndef USETL_VMM_PROXY_GATEWAY_CHUNK_DECODER_H_
#define USETL_VMM_PROXY_GATEWAY_CHUNK_DECODER_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace usetl::gateway {

class ChunkDecoder {
 public:
  enum class State { kMore, kDone, kMalformed, kTooLarge };

  // Appends what `bytes` hold of the body to `body`, up to `max_body` in all, and says how many of
  // them belong to the coding. Extensions and trailers are passed over.
  State Take(std::string_view bytes, uint64_t max_body, std::string* body, size_t* used);

 private:
  enum class At {
    kSize,
    kExtension,
    kSizeEnd,
    kData,
    kDataCr,
    kDataLf,
    kLine,
    kTrailer,
    kTrailerEnd,
    kLastEnd
  };

  State TakeControl(char c);
  State TakeSize(char c);

  At at_ = At::kSize;
  uint64_t left_ = 0;      // of this chunk
  uint32_t digits_ = 0;    // of its size
  uint32_t overhead_ = 0;  // bytes of extensions and trailers
  bool last_ = false;
};

}  // namespace usetl::gateway

#endif  // USETL_VMM_PROXY_GATEWAY_CHUNK_DECODER_H_
