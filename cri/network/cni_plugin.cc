#include "cri/network/cni_plugin.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "cri/child/child_process.h"
#include "cri/network/cni_config.h"
#include "cri/network/cni_result.h"

namespace usetl::cri {
namespace {

constexpr std::chrono::milliseconds kLook{50};
constexpr size_t kTail = 2048;  // of stderr, for errors
constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string Join(const std::vector<std::string>& directories) {
  std::string joined;
  for (const std::string& directory : directories) {
    joined += (joined.empty() ? "" : ":") + directory;
  }
  return joined;
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

std::string Ending(int status) {
  if (WIFSIGNALED(status)) return "ended by signal " + std::to_string(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

// The talk with a plugin until it has ended. A descendant that keeps the pipes is not waited for.
class Talk {
 public:
  Talk(std::string_view input, Fd in, Fd out, Fd err)
      : answer(std::move(out), kMaxCniDocument, ChildOutput::Keep::kFirst),
        tail(std::move(err), kTail, ChildOutput::Keep::kLast),
        input_(input),
        in_(std::move(in)) {}

  Status Run(const ChildProcess& process, const CniCall& call) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point end = Clock::now() + call.limit;
    bool ended = false;
    while (!ended) {
      auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
      if (left.count() <= 0) {
        return Status(ETIMEDOUT, "took longer than " + std::to_string(call.limit.count()) + " ms");
      }
      if (call.cancelled != nullptr) {
        if (call.cancelled()) return Status(ECANCELED, "was killed, it is not wanted any more");
        left = std::min(left, kLook);
      }
      // A negative descriptor is passed over.
      pollfd set[] = {{in_.get(), POLLOUT, 0},
                      {answer.descriptor(), POLLIN, 0},
                      {tail.descriptor(), POLLIN, 0},
                      {process.descriptor(), POLLIN, 0}};
      if (poll(set, 4, static_cast<int>(left.count())) < 0 && errno != EINTR)
        return Status::Errno("poll");
      ended = set[3].revents != 0;
      if (set[0].revents != 0) Write();
      answer.Read();
      tail.Read();
      if (answer.cut()) return Status(EIO, "answered more than 1 MB");
    }
    return Status();
  }
  ChildOutput answer, tail;

 private:
  void Write() {
    const ssize_t n = write(in_.get(), input_.data(), input_.size());
    if (n > 0) input_.remove_prefix(n);
    // A plugin need not read: what it makes of that it says itself.
    if (input_.empty() || (n < 0 && errno != EAGAIN && errno != EINTR)) in_.Reset();
  }

  std::string_view input_;
  Fd in_;
};

Result<std::string> Run(const CniCall& call, const std::string& type, const std::string& config) {
  Result<std::string> path = FindCniPlugin(call.directories, type);
  if (!path.ok()) return path.status();
  Result<ChildPipe> in = MakeChildPipe(true), out = MakeChildPipe(false),
                    err = MakeChildPipe(false);
  for (const Result<ChildPipe>* pipe : {&in, &out, &err}) {
    if (!pipe->ok()) return pipe->status();
  }
  ChildProcess process;
  const Status started = process.Start(
      {*path, {*path}, Environment(call), in->theirs.get(), out->theirs.get(), err->theirs.get()});
  if (!started.ok()) return Status(EIO, started.message());
  for (ChildPipe* pipe : {&*in, &*out, &*err}) pipe->theirs.Reset();
  Talk talk(config, std::move(in->ours), std::move(out->ours), std::move(err->ours));
  if (const Status status = talk.Run(process, call); !status.ok()) {
    return Status(status.code(), DescribeCniError("", talk.tail.text(), status.message()));
  }
  const int status = process.Reap();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return talk.answer.text();
  return Status(EIO, DescribeCniError(talk.answer.text(), talk.tail.text(), Ending(status)));
}

}  // namespace

Result<std::string> FindCniPlugin(const std::vector<std::string>& directories,
                                  const std::string& type) {
  for (const std::string& directory : directories) {
    const std::string path = directory + "/" + type;
    struct stat info;
    if (stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode)) return path;
  }
  return Status(EIO, "is not in " + Join(directories));
}

Result<std::string> RunCniPlugin(const CniCall& call, const std::string& type,
                                 const std::string& config) {
  Result<std::string> answer = Run(call, type, config);
  if (answer.ok()) return answer;
  return answer.status().Annotate("network plugin " + type + ", " + call.command);
}

}  // namespace usetl::cri
