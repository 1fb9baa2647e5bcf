// big_endian.h: numbers as networks send them.
#ifndef USETL_CRI_STREAMING_BIG_ENDIAN_H_
#define USETL_CRI_STREAMING_BIG_ENDIAN_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace usetl::cri::streaming {

// REQUIRES: bytes.size() >= 4.
inline uint32_t BigEndian32(std::string_view bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

inline void AppendBigEndian32(std::string* to, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) to->push_back(static_cast<char>(value >> shift));
}

}  // namespace usetl::cri::streaming

#endif  // USETL_CRI_STREAMING_BIG_ENDIAN_H_
