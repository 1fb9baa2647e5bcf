#include "vmm/cli/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstring>
#include <utility>

#include "vmm/base/installation.h"
#include "vmm/base/starter.h"

namespace usetl {
namespace {

constexpr int kReadyFd = 3;
constexpr int kStartLimitMs = 30'000;

std::vector<char*> Pointers(std::vector<std::string>* words) {
  std::vector<char*> pointers;
  for (std::string& word : *words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

class SpawnSettings {
 public:
  explicit SpawnSettings(int report) {
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, report, kReadyFd);
    // Whatever else this command was started with is no business of a daemon.
    posix_spawn_file_actions_addclosefrom_np(&actions, kReadyFd + 1);
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

}  // namespace

Result<Daemon> Daemon::Spawn(const std::string& name, std::vector<std::string> arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Status::Errno("pipe");
  Daemon daemon;
  daemon.name_ = name;
  daemon.report_ = Fd(ends[0]);
  const Fd write_end(ends[1]);
  const SpawnSettings settings(write_end.get());
  const std::string path = InstalledPath(name);
  arguments.insert(arguments.begin(), name);
  arguments.insert(arguments.end(), {"--ready-fd", std::to_string(kReadyFd)});
  const int error = posix_spawn(&daemon.pid_, path.c_str(), &settings.actions, &settings.attributes,
                                Pointers(&arguments).data(), environ);
  if (error != 0) {
    daemon.pid_ = -1;
    return Status(error, "start " + path + ": " + std::strerror(error));
  }
  return daemon;
}

Daemon::~Daemon() {
  if (pid_ <= 0) return;
  kill(pid_, SIGTERM);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Daemon::Daemon(Daemon&& other) noexcept
    : name_(std::move(other.name_)),
      pid_(std::exchange(other.pid_, -1)),
      report_(std::move(other.report_)) {}

Daemon& Daemon::operator=(Daemon&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(pid_, other.pid_);
  std::swap(report_, other.report_);
  return *this;
}

Status Daemon::WaitUntilReady() {
  std::string said;
  for (;;) {
    pollfd readable{report_.get(), POLLIN, 0};
    const int ready = poll(&readable, 1, kStartLimitMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return Status::Errno("poll");
    if (ready == 0) return Status(ETIMEDOUT, name_ + " did not come up within 30 s");
    char bytes[4096];
    const ssize_t size = read(report_.get(), bytes, sizeof bytes);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Status::Errno("what " + name_ + " reports");
    said.append(bytes, size);
    if (said == kReadyLine) return Status();
    if (size > 0) continue;
    if (said.empty()) said = name_ + " ended before it served";
    return Status(ECHILD, said);
  }
}

bool Daemon::Ended() {
  if (pid_ <= 0 || waitpid(pid_, nullptr, WNOHANG) != pid_) return false;
  pid_ = -1;
  return true;
}

}  // namespace usetl
