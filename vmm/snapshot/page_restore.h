// page_restore.h: brings a page back by writing only the cache lines that differ.
//
// Most of what a run dirties ends as it began (reference counts go up and down again): of 400 dirty
// pages of a small Python function 200 are unchanged and 120 differ in one line. Reading both sides
// is cheaper than memcpy, which fetches every line for writing and writes it back. All lines are
// compared before any is written: branches between the loads would keep cache misses from
// overlapping, and cost more than memcpy.
#ifndef USETL_VMM_SNAPSHOT_PAGE_RESTORE_H_
#define USETL_VMM_SNAPSHOT_PAGE_RESTORE_H_

#include <immintrin.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "vmm/abi/layout.h"

namespace usetl {

// One bit per 64-byte line of two pages that differs. REQUIRES: both 16-byte aligned.
inline uint64_t DifferentLines(const uint8_t* a, const uint8_t* b) {
  static_assert(abi::kPageSize == 64 * 64);
  const auto* x = reinterpret_cast<const __m128i*>(a);
  const auto* y = reinterpret_cast<const __m128i*>(b);
  uint64_t lines = 0;
  for (int line = 0; line < 64; ++line, x += 4, y += 4) {
    const __m128i low = _mm_or_si128(_mm_xor_si128(x[0], y[0]), _mm_xor_si128(x[1], y[1]));
    const __m128i high = _mm_or_si128(_mm_xor_si128(x[2], y[2]), _mm_xor_si128(x[3], y[3]));
    const __m128i same = _mm_cmpeq_epi8(_mm_or_si128(low, high), _mm_setzero_si128());
    lines |= uint64_t{_mm_movemask_epi8(same) != 0xffff} << line;
  }
  return lines;
}

// The same with a load for each line: 6 % of a rollback. REQUIRES: kWideLines.
__attribute__((target("avx512f"))) inline uint64_t DifferentWideLines(const uint8_t* a,
                                                                      const uint8_t* b) {
  uint64_t lines = 0;
  for (int line = 0; line < 64; ++line) {
    const __m512i x = _mm512_loadu_si512(a + line * 64);
    const __m512i y = _mm512_loadu_si512(b + line * 64);
    lines |= uint64_t{_mm512_cmpneq_epi64_mask(x, y) != 0} << line;
  }
  return lines;
}

inline const bool kWideLines = __builtin_cpu_supports("avx512f") != 0;

// Makes the page at `at` equal `clean`. REQUIRES: nobody else writes either.
inline void RestorePageLines(uint8_t* at, const uint8_t* clean) {
  uint64_t lines = kWideLines ? DifferentWideLines(at, clean) : DifferentLines(at, clean);
  for (; lines != 0; lines &= lines - 1) {
    const int offset = std::countr_zero(lines) * 64;
    std::memcpy(at + offset, clean + offset, 64);
  }
}

}  // namespace usetl

#endif  // USETL_VMM_SNAPSHOT_PAGE_RESTORE_H_
