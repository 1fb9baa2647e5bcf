#include "vmm/base/oom_score.h"

#include <fcntl.h>

#include <cstdlib>
#include <string>

#include "vmm/base/fd.h"

namespace usetl {

namespace {

std::string PathOf(pid_t process) {
  return "/proc/" + (process == 0 ? "self" : std::to_string(process)) + "/oom_score_adj";
}

}  // namespace

int OomScoreOf(pid_t process) {
  const Fd file(open(PathOf(process).c_str(), O_RDONLY | O_CLOEXEC));
  char text[16]{};
  return file.ok() && read(file.get(), text, sizeof text - 1) > 0 ? std::atoi(text) : 0;
}

int OwnOomScore() {
  static const int score = OomScoreOf(0);
  return score;
}

Status SetOomScore(pid_t process, int score) {
  const Fd file(open(PathOf(process).c_str(), O_WRONLY | O_CLOEXEC));
  const std::string text = std::to_string(score);
  if (file.ok() && write(file.get(), text.data(), text.size()) > 0) return Status();
  return Status::Errno("oom_score_adj " + text);
}

}  // namespace usetl
