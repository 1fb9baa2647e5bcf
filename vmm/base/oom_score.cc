#include "vmm/base/oom_score.h"

#include <fcntl.h>

#include <cstdlib>
#include <string>

#include "vmm/base/fd.h"

namespace usetl {

int OwnOomScore() {
  static const int score = [] {
    const Fd file(open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC));
    char text[16]{};
    return file.ok() && read(file.get(), text, sizeof text - 1) > 0 ? std::atoi(text) : 0;
  }();
  return score;
}

Status SetOomScore(pid_t process, int score) {
  const std::string path =
      "/proc/" + (process == 0 ? "self" : std::to_string(process)) + "/oom_score_adj";
  const Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const std::string text = std::to_string(score);
  if (file.ok() && write(file.get(), text.data(), text.size()) > 0) return Status();
  return Status::Errno("oom_score_adj " + text);
}

}  // namespace usetl
