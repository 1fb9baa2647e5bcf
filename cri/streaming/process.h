// process.h: a program that the streams of a client are joined to.
//
// The border between who speaks with clients (this folder) and who runs programs (cri/container).
#ifndef USETL_CRI_STREAMING_PROCESS_H_
#define USETL_CRI_STREAMING_PROCESS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// What is to run, or with no `argv`: join what runs already (attach).
struct ProcessRequest {
  std::vector<std::string> argv;
  bool tty = false;
  bool in = false, out = false, err = false;  // which streams are wanted; with tty never `err`
};

// Destroying it ends an exec's program; from an attach it only detaches. One thread at a time.
class Process {
 public:
  virtual ~Process() = default;

  // Our ends of stream sockets or pipes; -1 when not asked for. Whoever joins them may make them
  // nonblocking. `out` and `err` end when the program has closed its ends; with a tty all output is
  // in `out`. Closing `in` is the end of the program's input.
  Fd in, out, err;

  // Of the terminal. REQUIRES: tty.
  virtual Status Resize(uint16_t columns, uint16_t rows) = 0;
  // Readable once Exit() does not wait. Stays this object's.
  virtual int exit_fd() const = 0;
  // Waits for the end; 0 to 255. An error when nobody knows how it ended.
  virtual Result<int> Exit() = 0;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_STREAMING_PROCESS_H_
