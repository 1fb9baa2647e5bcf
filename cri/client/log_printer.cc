#include "cri/client/log_printer.h"

#include <fcntl.h>

#include <cstdio>

#include "vmm/base/output.h"

namespace usetl::cri {

void LogPrinter::Print() {
  if (!file_.ok()) file_ = Fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file_.ok()) return;
  char buffer[64 << 10];
  for (ssize_t count; (count = read(file_.get(), buffer, sizeof buffer)) > 0;) {
    rest_.append(buffer, static_cast<size_t>(count));
    size_t begin = 0;
    for (size_t end; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      PrintLine(rest_.substr(begin, end - begin));
    }
    rest_.erase(0, begin);
  }
  (void)FlushOutput();  // it keeps an error for the end of the program
}

void LogPrinter::PrintLine(const std::string& line) {
  const size_t stream = line.find(' ');
  const size_t tag = stream == std::string::npos ? stream : line.find(' ', stream + 1);
  if (tag == std::string::npos || tag + 3 > line.size()) return;  // of no container runtime
  const bool error = line.compare(stream + 1, tag - stream - 1, "stderr") == 0;
  const bool whole = line[tag + 1] == 'F';
  FILE* to = error ? stderr : stdout;
  if (!line_open_[error]) std::fwrite(prefix_.data(), 1, prefix_.size(), to);
  std::fwrite(line.data() + tag + 3, 1, line.size() - tag - 3, to);
  if (whole) std::fputc('\n', to);
  line_open_[error] = !whole;
}

}  // namespace usetl::cri
