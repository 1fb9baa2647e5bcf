#include "tests/unit/streaming_world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <condition_variable>

namespace usetl::test {
namespace {

using cri::streaming::StreamRequest;

std::mutex programs_mutex;
std::condition_variable programs_changed;
int programs = 0;
std::string sizes;

class HostProcess final : public cri::Process {
 public:
  HostProcess(pid_t pid, int pidfd) : pid_(pid), pidfd_(pidfd) { Count(1); }
  ~HostProcess() override {
    if (!reaped_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    Count(-1);
  }
  Status Resize(uint16_t columns, uint16_t rows) override {
    const std::lock_guard lock(programs_mutex);
    if (!sizes.empty()) sizes += ' ';
    sizes += std::to_string(columns) + "x" + std::to_string(rows);
    return Status();
  }
  int exit_fd() const override { return pidfd_.get(); }
  Result<int> Exit() override {
    int status = 0;
    if (waitpid(pid_, &status, 0) != pid_) return Status::Errno("waitpid");
    reaped_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  static void Count(int change) {
    const std::lock_guard lock(programs_mutex);
    programs += change;
    programs_changed.notify_all();
  }

  const pid_t pid_;
  const Fd pidfd_;
  bool reaped_ = false;
};

}  // namespace

Result<std::unique_ptr<cri::Process>> LaunchHostProcess(const cri::ProcessRequest& request) {
  if (!request.argv.empty() && request.argv[0] == "missing") {
    return Status(ENOENT, "no program \"missing\"");
  }
  const bool wanted[] = {request.in, request.out, request.err};
  Fd ours[3], theirs[3];
  for (int i = 0; i < 3; ++i) {
    int pair[2];
    if (!wanted[i]) continue;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
      return Status::Errno("socketpair");
    }
    ours[i] = Fd(pair[0]);
    theirs[i] = Fd(pair[1]);
  }
  std::vector<std::string> argv = request.argv;
  if (argv.empty()) argv = {"cat"};
  std::vector<char*> arguments;
  for (std::string& argument : argv) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const pid_t pid = fork();
  if (pid == 0) {
    for (int i = 0; i < 3; ++i) dup2(theirs[i].ok() ? theirs[i].get() : null.get(), i);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  if (pid < 0) return Status::Errno("fork");
  auto process =
      std::make_unique<HostProcess>(pid, static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  process->in = std::move(ours[0]);
  process->out = std::move(ours[1]);
  process->err = std::move(ours[2]);
  return std::unique_ptr<cri::Process>(std::move(process));
}

bool WaitForPrograms(int count) {
  std::unique_lock lock(programs_mutex);
  return programs_changed.wait_for(lock, std::chrono::seconds(60),
                                   [count] { return programs == count; });
}

std::string TakeSizes() {
  const std::lock_guard lock(programs_mutex);
  return std::exchange(sizes, {});
}

StreamingWorld::StreamingWorld(const cri::streaming::Timers& timers) {
  signal(SIGPIPE, SIG_IGN);  // as usetld does
  cri::streaming::Backend backend;
  backend.launch = [](const std::string&, const cri::ProcessRequest& request) {
    return LaunchHostProcess(request);
  };
  backend.open_socket = [](const std::string&, int family) -> Result<Fd> {
    Fd made(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!made.ok()) return Status::Errno("socket");
    return made;
  };
  auto started = cri::streaming::Server::Start(
      "127.0.0.1:0", std::move(backend),
      [this](const std::string& line) {
        const std::lock_guard lock(mutex);
        log.push_back(line);
      },
      timers);
  EXPECT_TRUE(started.ok()) << started.status().message();
  server = std::move(*started);
}

std::string StreamingWorld::Expect(StreamRequest request) {
  const Result<std::string> url = server->Expect(std::move(request));
  EXPECT_TRUE(url.ok()) << url.status().message();
  return url.ok() ? url->substr(server->base_url().size()) : "";
}

std::string StreamingWorld::Exec(std::vector<std::string> argv, bool in, bool out, bool err,
                                 bool tty) {
  const auto kind = argv.empty() ? StreamRequest::Kind::kAttach : StreamRequest::Kind::kExec;
  return Expect({kind, "container", {std::move(argv), tty, in, out, err}, {}});
}

std::string StreamingWorld::Forward(std::vector<uint16_t> ports) {
  return Expect({StreamRequest::Kind::kPortForward, "pod", {}, std::move(ports)});
}

StreamingClient::StreamingClient(const StreamingWorld& world)
    : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const std::string& url = world.server->base_url();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
  const timeval limit{60, 0};
  setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  EXPECT_EQ(connect(fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

void StreamingClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;  // the server left; what it answers says why
    bytes.remove_prefix(static_cast<size_t>(size));
  }
}

std::string StreamingClient::Receive(size_t size) {
  std::string bytes(size, '\0');
  size_t got = 0;
  while (got < size) {
    const ssize_t part = recv(fd(), bytes.data() + got, size - got, 0);
    // With a time limit that is also what it says when it was stopped and goes on.
    if (part < 0 && errno == EINTR) continue;
    if (part < 0 && errno == EAGAIN) ADD_FAILURE() << "nothing came for a minute";
    if (part <= 0) break;
    got += static_cast<size_t>(part);
  }
  bytes.resize(got);
  return bytes;
}

std::string StreamingClient::ReceiveHead() {
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    const std::string byte = Receive(1);
    if (byte.empty()) break;
    head += byte;
  }
  return head;
}

bool StreamingClient::AtEnd() {
  for (;;) {
    char bytes[4096];
    const ssize_t size = recv(fd(), bytes, sizeof bytes, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size == 0 || (size < 0 && errno != EAGAIN)) return true;
    if (size < 0) return false;
  }
}

std::string Ask(StreamingClient* client, const std::string& path, const std::string& lines) {
  client->Send("GET " + path + " HTTP/1.1\r\nHost: node\r\n" + lines + "\r\n");
  return client->ReceiveHead();
}

}  // namespace usetl::test
