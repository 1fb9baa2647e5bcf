// child_process.h: another program of this host, run by usetld: started, listened to, reaped.
#ifndef USETL_CRI_CHILD_CHILD_PROCESS_H_
#define USETL_CRI_CHILD_CHILD_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri {

struct ChildProgram {
  std::string path;
  std::vector<std::string> arguments;    // the first is its name
  std::vector<std::string> environment;  // NAME=value; nothing is inherited
  // Its standard descriptors, which stay the caller's; -1: /dev/null.
  int in = -1, out = -1, err = -1;
};

// A program that runs, leading a process group, with the signals as usual and no descriptor but its
// three. Killed with its group and reaped when it goes. For one thread.
class ChildProcess {
 public:
  ChildProcess() = default;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  // Once.
  Status Start(ChildProgram program);
  pid_t pid() const { return pid_; }
  int descriptor() const { return descriptor_.get(); }  // readable when it has ended
  // Waits for its end; the status of waitpid(2).
  int Reap();

 private:
  pid_t pid_ = -1;
  Fd descriptor_;
};

// A pipe to a child or from one. Ours does not block: a child reads and writes when it likes.
struct ChildPipe {
  Fd ours, theirs;
};
Result<ChildPipe> MakeChildPipe(bool we_write);

// What a child writes: of all that comes the first or the last bytes, as many as are wanted.
class ChildOutput {
 public:
  enum class Keep { kFirst, kLast };
  ChildOutput(Fd from, size_t most, Keep keep) : from_(std::move(from)), most_(most), keep_(keep) {}

  // What is there; bounded, so that one that writes for ever does not keep us from the clock.
  void Read();
  int descriptor() const { return from_.get(); }  // -1 at the end
  const std::string& text() const { return text_; }
  bool cut() const { return cut_; }

 private:
  void Add(const char* bytes, size_t size);

  Fd from_;
  const size_t most_;
  const Keep keep_;
  std::string text_;
  bool cut_ = false;  // there was more
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CHILD_CHILD_PROCESS_H_
