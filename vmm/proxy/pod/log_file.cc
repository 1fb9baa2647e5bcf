#include "vmm/proxy/pod/log_file.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vmm/proxy/pod/log_lines.h"

namespace usetl::pod {
namespace {

std::string CauseText(int cause) {
  switch (cause) {
    case ENOSPC:
    case EDQUOT:
      return "no space left on the log's disk";
    case ETIMEDOUT:
      return "the log's disk is too slow";
    default:
      return std::string("writing the log: ") + std::strerror(cause);
  }
}

int64_t RealtimeNs() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

size_t LogFile::WriteAll(std::string_view bytes, int* cause) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = write(file_.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      *cause = count < 0 ? errno : ENOSPC;
      break;
    }
    done += static_cast<size_t>(count);
  }
  return done;
}

void LogFile::Lose(uint64_t lines, int cause) {
  if (!file_.ok() || lines == 0) return;
  lost_.fetch_add(lines, std::memory_order_relaxed);
  untold_ += lines;
  cause_ = cause;
}

bool LogFile::Settle() {
  int cause = 0;
  torn_.erase(0, WriteAll(torn_, &cause));
  if (!torn_.empty()) return false;
  if (untold_ == 0) return true;
  std::string line;
  LogLines::Write(2, 'F',
                  "usetl: " + std::to_string(untold_) + " lines were lost: " + CauseText(cause_),
                  RealtimeNs(), &line);
  const size_t done = WriteAll(line, &cause);
  if (done == 0) return false;
  untold_ = 0;
  torn_ = line.substr(done);
  return torn_.empty();
}

void LogFile::Write(std::string_view lines) {
  if (!file_.ok()) return;
  const auto count = [](std::string_view text) {
    return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
  };
  if (!Settle()) return Lose(count(lines), cause_ != 0 ? cause_ : ENOSPC);
  int cause = 0;
  const size_t done = WriteAll(lines, &cause);
  if (done == lines.size()) return;
  // A line that was begun is kept to be ended later: a reader may have seen its begin.
  const bool torn = done != 0 && lines[done - 1] != '\n';
  size_t lost_from = done;
  if (torn) {
    lost_from = lines.find('\n', done) + 1;
    torn_ = lines.substr(done, lost_from - done);
  }
  cause_ = cause;
  Lose(count(lines.substr(lost_from)), cause);
}

void LogFile::Reopen(Fd file) {
  torn_.clear();
  file_ = std::move(file);
}

}  // namespace usetl::pod
