// log_printer.h: the log of a container as the output of a program.
#ifndef USETL_CRI_CLIENT_LOG_PRINTER_H_
#define USETL_CRI_CLIENT_LOG_PRINTER_H_

#include <string>

#include "vmm/base/fd.h"

namespace usetl::cri {

// Reads lines of the CRI's format (TIME STREAM TAG TEXT) as they are written and prints their text
// to this process's standard output or error.
class LogPrinter {
 public:
  // `prefix` goes before each line; may be empty.
  LogPrinter(std::string path, std::string prefix)
      : path_(std::move(path)), prefix_(std::move(prefix)) {}

  // What has been written since the last call. A log that is not there yet is empty.
  void Print();

 private:
  void PrintLine(const std::string& line);

  std::string path_, prefix_;
  Fd file_;
  std::string rest_;        // of a line that is not complete
  bool line_open_[2] = {};  // a part of a line was printed, of standard output and error
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_LOG_PRINTER_H_
