// log_file.h: the file of a container's log: whole lines, and an account of those that are lost.
//
// Used by one thread, which may block in it as long as the disk does.
#ifndef USETL_VMM_PROXY_POD_LOG_FILE_H_
#define USETL_VMM_PROXY_POD_LOG_FILE_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "vmm/base/fd.h"

namespace usetl::pod {

class LogFile {
 public:
  // `file` is open for appending. None (-1) discards everything, which is no loss.
  explicit LogFile(Fd file) : file_(std::move(file)) {}

  // Writes whole lines in as few calls as it takes. What the disk does not take is lost.
  void Write(std::string_view lines);
  // `lines` lines were lost elsewhere; `cause` is an errno, ETIMEDOUT for a disk that is too slow.
  void Lose(uint64_t lines, int cause);
  // Writes what is owed: the rest of a torn line, then one line about those that were lost.
  // True: nothing is owed any more.
  bool Settle();
  bool owes() const { return !torn_.empty() || untold_ != 0; }

  // What follows goes to another file. A line that was torn stays torn.
  void Reopen(Fd file);

  // May be asked from any thread.
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  // How many bytes were written; `*cause` says why not all.
  size_t WriteAll(std::string_view bytes, int* cause);

  Fd file_;
  std::string torn_;     // the rest of a line, when the disk was full in the midst of it
  uint64_t untold_ = 0;  // lost lines of which the log does not tell yet
  int cause_ = 0;        // of the latest
  std::atomic<uint64_t> lost_ = 0;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_LOG_FILE_H_
