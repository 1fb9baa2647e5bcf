// log_lines.h: a container's output as lines of the CRI's log format.
//
//   2026-01-02T03:04:05.123456789Z stdout F text
//
// F ends a line, P is a piece of one that goes on. The text is a function's: only its line feeds
// mean anything here.
#ifndef USETL_VMM_PROXY_POD_LOG_LINES_H_
#define USETL_VMM_PROXY_POD_LOG_LINES_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace usetl::pod {

class LogLines {
 public:
  // Of text in one line of the log; a longer one comes in pieces.
  static constexpr size_t kMaxPiece = 16 << 10;

  // Appends to `to` the lines that the bytes complete. `stream` is 1 (stdout) or 2 (stderr), `now`
  // is nanoseconds since 1970. Returns how many.
  uint64_t Add(uint32_t stream, std::string_view bytes, int64_t now, std::string* to);
  // At the end: what no line feed has ended, as pieces.
  uint64_t Finish(int64_t now, std::string* to);

  // One line. REQUIRES: `text` has no line feed.
  static void Write(uint32_t stream, char tag, std::string_view text, int64_t now, std::string* to);

 private:
  std::string begun_[2];  // by stream; never a whole piece
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_LOG_LINES_H_
