#include "cri/network/cni_plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "cri/network/cni_config.h"
#include "cri/network/cni_result.h"
#include "vmm/base/fd.h"

namespace usetl::cri {
namespace {

constexpr size_t kTail = 2048;  // of stderr, for errors
constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct Pipe {
  Fd ours, theirs;
};

// Ours does not block: a plugin may read or write whenever it likes.
Result<Pipe> MakePipe(bool we_write) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Status::Errno("pipe");
  Pipe made{Fd(ends[we_write ? 1 : 0]), Fd(ends[we_write ? 0 : 1])};
  if (fcntl(made.ours.get(), F_SETFL, O_NONBLOCK) != 0) return Status::Errno("pipe");
  return made;
}

std::string Join(const std::vector<std::string>& directories) {
  std::string joined;
  for (const std::string& directory : directories) {
    joined += (joined.empty() ? "" : ":") + directory;
  }
  return joined;
}

Result<std::string> FindBinary(const CniCall& call, const std::string& type) {
  for (const std::string& directory : call.directories) {
    const std::string path = directory + "/" + type;
    struct stat info;
    if (stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode)) return path;
  }
  return Status(EIO, "is not in " + Join(call.directories));
}

std::vector<std::string> Environment(const CniCall& call) {
  const char* path = std::getenv("PATH");
  std::vector<std::string> environment = {
      std::string("PATH=") + (path == nullptr ? kDefaultPath : path),
      "CNI_COMMAND=" + call.command,
      "CNI_PATH=" + Join(call.directories),
  };
  if (call.container.empty()) return environment;
  environment.push_back("CNI_CONTAINERID=" + call.container);
  environment.push_back("CNI_NETNS=" + call.network_namespace);
  environment.push_back(std::string("CNI_IFNAME=") + kPodInterface);
  environment.push_back("CNI_ARGS=" + call.arguments);
  return environment;
}

// A plugin that runs, leading a process group. Ends and reaps it when it goes.
class Process {
 public:
  Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (pid_ <= 0) return;
    kill(-pid_, SIGKILL);  // before it is reaped: the number is still its own
    (void)Reap();
  }

  Status Start(const std::string& path, const std::vector<std::string>& environment, int in,
               int out, int err) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    // Whatever a library of ours left open is not the plugin's.
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::vector<char*> variables;
    for (const std::string& variable : environment) {
      variables.push_back(const_cast<char*>(variable.c_str()));
    }
    variables.push_back(nullptr);
    char* arguments[] = {const_cast<char*>(path.c_str()), nullptr};
    const int error =
        posix_spawn(&pid_, path.c_str(), &actions, &attributes, arguments, variables.data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
      pid_ = -1;
      return Status(EIO, "run " + path + ": " + std::strerror(error));
    }
    descriptor_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    return descriptor_.ok() ? Status() : Status::Errno("pidfd_open");
  }
  int descriptor() const { return descriptor_.get(); }  // readable when it has ended
  // Waits for its end; the status of waitpid.
  int Reap() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  Fd descriptor_;
};

std::string Ending(int status) {
  if (WIFSIGNALED(status)) return "ended by signal " + std::to_string(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

// The talk with a plugin until it has ended. A descendant that keeps the pipes is not waited for.
class Talk {
 public:
  Talk(std::string_view input, Fd in, Fd out, Fd err)
      : input_(input), in_(std::move(in)), out_(std::move(out)), err_(std::move(err)) {}

  Status Run(const Process& process, std::chrono::milliseconds limit) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point end = Clock::now() + limit;
    bool ended = false;
    while (!ended) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
      if (left <= 0) {
        return Status(ETIMEDOUT, "took longer than " + std::to_string(limit.count()) + " ms");
      }
      // A negative descriptor is passed over.
      pollfd set[] = {{in_.get(), POLLOUT, 0},
                      {out_.get(), POLLIN, 0},
                      {err_.get(), POLLIN, 0},
                      {process.descriptor(), POLLIN, 0}};
      if (poll(set, 4, static_cast<int>(left)) < 0 && errno != EINTR) return Status::Errno("poll");
      ended = set[3].revents != 0;
      if (set[0].revents != 0) Write();
      USETL_RETURN_IF_ERROR(Read());
    }
    return Status();
  }
  std::string answer, tail;

 private:
  void Write() {
    const ssize_t n = write(in_.get(), input_.data(), input_.size());
    if (n > 0) input_.remove_prefix(n);
    // A plugin need not read: what it makes of that it says itself.
    if (input_.empty() || (n < 0 && errno != EAGAIN && errno != EINTR)) in_.Reset();
  }
  // What is there; bounded, so that one that writes for ever does not keep us from the clock.
  Status Read() {
    char bytes[16 << 10];
    ssize_t n = 0;
    while ((n = ReadSome(&out_, bytes, sizeof(bytes))) > 0) {
      answer.append(bytes, n);
      if (answer.size() > kMaxCniDocument) return Status(EIO, "answered more than 1 MB");
    }
    constexpr int kTurns = 64;
    for (int turn = 0; turn < kTurns && (n = ReadSome(&err_, bytes, sizeof(bytes))) > 0; ++turn) {
      tail.append(bytes, n);
      if (tail.size() > kTail) tail.erase(0, tail.size() - kTail);
    }
    return Status();
  }
  static ssize_t ReadSome(Fd* fd, char* bytes, size_t size) {
    if (!fd->ok()) return 0;
    const ssize_t n = read(fd->get(), bytes, size);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) fd->Reset();
    return n;
  }

  std::string_view input_;
  Fd in_, out_, err_;
};

Result<std::string> Run(const CniCall& call, const std::string& type, const std::string& config) {
  Result<std::string> path = FindBinary(call, type);
  if (!path.ok()) return path.status();
  Result<Pipe> in = MakePipe(true), out = MakePipe(false), err = MakePipe(false);
  for (const Result<Pipe>* pipe : {&in, &out, &err}) {
    if (!pipe->ok()) return pipe->status();
  }
  Process process;
  USETL_RETURN_IF_ERROR(process.Start(*path, Environment(call), in->theirs.get(), out->theirs.get(),
                                      err->theirs.get()));
  for (Pipe* pipe : {&*in, &*out, &*err}) pipe->theirs.Reset();
  Talk talk(config, std::move(in->ours), std::move(out->ours), std::move(err->ours));
  if (const Status status = talk.Run(process, call.limit); !status.ok()) {
    return Status(status.code(), DescribeCniError("", talk.tail, status.message()));
  }
  const int status = process.Reap();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::move(talk.answer);
  return Status(EIO, DescribeCniError(talk.answer, talk.tail, Ending(status)));
}

}  // namespace

Result<std::string> RunCniPlugin(const CniCall& call, const std::string& type,
                                 const std::string& config) {
  Result<std::string> answer = Run(call, type, config);
  if (answer.ok()) return answer;
  return answer.status().Annotate("network plugin " + type + ", " + call.command);
}

}  // namespace usetl::cri
