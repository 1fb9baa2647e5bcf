// progress_line.h: how far a pull or an import is, for whoever sits at the terminal.
#ifndef USETL_CRI_IMAGE_PROGRESS_LINE_H_
#define USETL_CRI_IMAGE_PROGRESS_LINE_H_

#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "cri/image/config.h"

namespace usetl::image {

// One line that is drawn again and again; nothing when nobody looks.
class ProgressLine {
 public:
  explicit ProgressLine(const std::string& first) {
    if (!shown_) return;
    drawn_ = true;
    std::fprintf(stderr, "%s ...", first.c_str());
  }
  ~ProgressLine() {
    if (drawn_) std::fprintf(stderr, "\r\033[K");
  }
  void Draw(const Progress& progress) {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t tenth = now.tv_sec * 10 + now.tv_nsec / 100'000'000;
    if (!shown_ || tenth == last_) return;
    last_ = tenth;
    drawn_ = true;
    std::fprintf(stderr, "\r\033[K%.1f of %.1f MB, %zu of %zu layers ready",
                 progress.bytes_done / 1e6, progress.bytes / 1e6, progress.layers_done,
                 progress.layers);
  }

 private:
  const bool shown_ = isatty(STDERR_FILENO) == 1;
  bool drawn_ = false;
  int64_t last_ = 0;
};

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_PROGRESS_LINE_H_
