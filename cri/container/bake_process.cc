#include "cri/container/bake_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/installation.h"

namespace usetl::cri {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLimit{90};  // usetl-bake gives the image's Python 30 s
constexpr size_t kMostSaid = 256 << 10;
constexpr size_t kMostLine = 300;
constexpr int kNice = 10;  // behind pods that serve

// usetl-bake that runs. Killed and reaped when it goes.
class Process {
 public:
  Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    (void)Reap();
  }

  Status Start(std::vector<std::string> arguments, int said) {
    const std::string path = InstalledPath("usetl-bake");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, said, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    char* const environment[] = {nullptr};
    const int error =
        posix_spawn(&pid_, path.c_str(), &actions, &attributes, words.data(), environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
      pid_ = -1;
      return Status(error, "start " + path + ": " + std::strerror(error));
    }
    // Refused: it takes its share of the processors all the same.
    (void)!setpriority(PRIO_PROCESS, static_cast<id_t>(pid_), kNice);
    descriptor_ = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
    return descriptor_.ok() ? Status() : Status::Errno("pidfd_open");
  }
  int descriptor() const { return descriptor_.get(); }  // readable when it has ended
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

// Reads what is there. The text beyond a bound is thrown away.
void Read(Fd* from, std::string* said) {
  char bytes[16 << 10];
  const ssize_t n = read(from->get(), bytes, sizeof bytes);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) from->Reset();
  if (n > 0 && said->size() < kMostSaid) said->append(bytes, static_cast<size_t>(n));
}

std::string LineAt(const std::string& text, size_t begin) {
  std::string line = text.substr(begin, text.find('\n', begin) - begin);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line.substr(0, kMostLine);
}

// The error, and the last line of what the image's program said: Python's own word for it.
std::string Reason(const std::string& said) {
  constexpr char kMark[] = "usetl: ";
  size_t begin = 0;
  while (begin < said.size() && said.compare(begin, sizeof kMark - 1, kMark) != 0) {
    const size_t end = said.find('\n', begin);
    begin = end == said.npos ? said.size() : end + 1;
  }
  if (begin >= said.size()) return "usetl-bake was killed";
  const std::string first = LineAt(said, begin + sizeof kMark - 1);
  size_t end = said.size();
  while (end > 0 && said[end - 1] == '\n') --end;
  const size_t before = end == 0 ? said.npos : said.rfind('\n', end - 1);
  const size_t last = before == said.npos ? 0 : before + 1;
  return last <= begin ? first : first + "; it said last: " + LineAt(said, last);
}

}  // namespace

Status BakeImage(const image::Image& image, const std::string& directory, const std::string& name,
                 int stop) {
  std::vector<std::string> arguments = {"usetl-bake", "--follow",  "--runtimes",
                                        directory,    "--runtime", name};
  for (const std::string& pack : image.packs) arguments.push_back("--layer=" + pack);
  for (const std::string& variable : image.config.environment) {
    arguments.push_back("--env=" + variable);
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Status::Errno("pipe");
  Fd ours(ends[0]), theirs(ends[1]);
  if (fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) return Status::Errno("pipe");
  Process process;
  USETL_RETURN_IF_ERROR(process.Start(std::move(arguments), theirs.get()));
  theirs.Reset();
  std::string said;
  const Clock::time_point end = Clock::now() + kLimit;
  for (bool ended = false; !ended;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) {
      return Status(ECHILD, "it took longer than " + std::to_string(kLimit.count()) + " s");
    }
    // A negative descriptor is passed over.
    pollfd set[] = {{ours.get(), POLLIN, 0}, {process.descriptor(), POLLIN, 0}, {stop, POLLIN, 0}};
    if (poll(set, 3, static_cast<int>(left)) < 0 && errno != EINTR) return Status::Errno("poll");
    if (set[2].revents != 0) return Status(ECANCELED, "usetld ends");
    ended = set[1].revents != 0;
    if (ours.ok()) Read(&ours, &said);
  }
  for (int turn = 0; turn < 64 && ours.ok(); ++turn) Read(&ours, &said);
  const int status = process.Reap();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Status();
  return Status(ECHILD, Reason(said));
}

}  // namespace usetl::cri
