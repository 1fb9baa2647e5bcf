// usetld's end of the connection to a worker: which process it takes for the worker, and what it
// believes of one that a function may have taken over.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

#include "cri/container/monitor.h"
#include "cri/container/orphans.h"
#include "cri/container/worker.h"

namespace usetl::cri {
namespace {

Fd PidFdOf(pid_t pid) { return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

// A process that does nothing but to be there.
class Victim {
 public:
  Victim() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    mine_ = Fd(ends[0]);
    const Fd its(ends[1]);
    pid_ = fork();
    if (pid_ != 0) return;
    mine_.Reset();
    for (char byte; read(its.get(), &byte, 1) == 1 && write(its.get(), &byte, 1) == 1;) {
    }
    _exit(0);
  }
  ~Victim() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  ProcessMark mark() const { return *MarkOf(PidFdOf(pid_)); }
  // It answers: no signal is on its way to it.
  bool Lives() const {
    char byte = 'x';
    return send(mine_.get(), &byte, 1, MSG_NOSIGNAL) == 1 && read(mine_.get(), &byte, 1) == 1;
  }
  // Waits for its end; false: it ended otherwise.
  bool WasKilled() {
    int status = 0;
    return waitpid(pid_, &status, 0) == pid_ && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

 private:
  Fd mine_;
  pid_t pid_;
};

class WorkerConnection : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/usetl-worker-XXXXXX";
    directory = mkdtemp(name);
    null = Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    start.pods_socket = directory + "/pods";
    start.control_socket = directory + "/control";
    start.exit_file = directory + "/exit";
    start.network_namespace = null.get();
  }
  void TearDown() override {
    if (worker.joinable()) worker.join();
    std::filesystem::remove_all(directory);
  }
  // Plays the worker that takes the next connection.
  void Play(const std::string& path, std::function<void(int socket)> say) {
    Result<Fd> listener = ipc::Listen(path);
    ASSERT_TRUE(listener.ok()) << listener.status().message();
    worker = std::thread([say, listening = std::make_shared<Fd>(std::move(*listener))] {
      const Fd socket(accept4(listening->get(), nullptr, nullptr, SOCK_CLOEXEC));
      say(socket.get());
    });
  }
  // Join and start, without which an answer would be lost.
  static void ReadStart(int socket) {
    EXPECT_TRUE(ipc::Receive(socket).ok());
    EXPECT_TRUE(ipc::Receive(socket).ok());
  }
  static void SayTaken(int socket, pid_t pid) { SayTaken(socket, PidFdOf(pid)); }
  static void SayTaken(int socket, const Fd& process) {
    const pod::Header header{pod::Type::kTaken, 0};
    const int fds[] = {process.get()};
    EXPECT_TRUE(ipc::Send(socket, ipc::Bytes(header), {}, fds).ok());
  }
  static void SayStarted(int socket, pid_t pid) {
    pod::StartedRecord record{};
    record.header.type = pod::Type::kStarted;
    record.worker = pid;
    EXPECT_TRUE(ipc::Send(socket, ipc::Bytes(record)).ok());
  }
  static void SayFailed(int socket, int code, pod::Reason reason = pod::Reason::kError) {
    constexpr char kText[] = {'o', 'h'};
    pod::FailedRecord record{};
    record.header = {pod::Type::kFailed, sizeof kText};
    record.code = code;
    record.reason = reason;
    const std::span text(reinterpret_cast<const uint8_t*>(kText), sizeof kText);
    EXPECT_TRUE(ipc::Send(socket, ipc::Bytes(record), text).ok());
  }
  Result<Worker> Launch() { return Worker::Launch(start, launching); }

  std::string directory;
  Fd null;
  WorkerStart start;
  Worker::Launching launching{[](const ProcessMark&) { return Status(); }, [] { return false; },
                              [this] { ++out_of_memory; }};
  int out_of_memory = 0;
  std::thread worker;
};

TEST_F(WorkerConnection, TheKernelSaysWhichProcessItIs) {
  Victim victim;
  Play(start.pods_socket, [&](int socket) {
    SayTaken(socket, victim.pid());
    ReadStart(socket);
    SayStarted(socket, victim.pid());
  });
  Result<Worker> launched = Launch();
  ASSERT_TRUE(launched.ok()) << launched.status().message();
  EXPECT_EQ(launched->process().pid, victim.pid());
  EXPECT_EQ(launched->process().started, victim.mark().started);
  EXPECT_NE(launched->process().started, 0u);
  launched->Kill();
  EXPECT_TRUE(victim.WasKilled());
}

TEST_F(WorkerConnection, IsKnownAsSoonAsItIsTaken) {
  Victim victim;
  std::atomic<pid_t> known = 0;
  Play(start.pods_socket, [&](int socket) {
    SayTaken(socket, victim.pid());
    ReadStart(socket);
    while (known == 0) std::this_thread::yield();  // it says no more before
    SayStarted(socket, victim.pid());
  });
  launching.taken = [&](const ProcessMark& mark) {
    EXPECT_EQ(mark.started, victim.mark().started);
    known = mark.pid;
    return Status();
  };
  const Result<Worker> launched = Launch();
  EXPECT_TRUE(launched.ok()) << launched.status().message();
  EXPECT_EQ(known, victim.pid());
}

TEST_F(WorkerConnection, OneThatCannotBeRememberedIsEnded) {
  Victim victim;
  Play(start.pods_socket, [&](int socket) {
    SayTaken(socket, victim.pid());
    ReadStart(socket);
    EXPECT_TRUE(ipc::Receive(socket).ok()) << "it is told to stop";
  });
  launching.taken = [](const ProcessMark&) { return Status(ENOSPC, "the disk is full"); };
  EXPECT_EQ(Launch().status().code(), ENOSPC);
  EXPECT_TRUE(victim.WasKilled());
  EXPECT_FALSE(std::filesystem::exists(start.control_socket));
}

TEST_F(WorkerConnection, OneThatHasEndedSaysWhy) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(0);
  const Fd process = PidFdOf(child);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  Play(start.pods_socket, [&](int socket) {
    SayTaken(socket, process);
    ReadStart(socket);
    SayFailed(socket, EHOSTDOWN);
  });
  const Status failed = Launch().status();
  EXPECT_EQ(failed.code(), EHOSTDOWN);
  EXPECT_EQ(failed.message(), "oh");
  worker.join();
  std::filesystem::remove(start.pods_socket);
  Play(start.pods_socket, [&](int socket) {
    SayTaken(socket, process);
    ReadStart(socket);
    SayStarted(socket, 0);
  });
  EXPECT_EQ(Launch().status().code(), EPROTO);
}

TEST_F(WorkerConnection, OneThatNamesAnotherIsKilled) {
  Victim victim, another;
  Play(start.pods_socket, [&](int socket) {
    SayTaken(socket, victim.pid());
    ReadStart(socket);
    SayStarted(socket, another.pid());
  });
  EXPECT_EQ(Launch().status().code(), EPROTO);
  EXPECT_TRUE(victim.WasKilled());
  EXPECT_TRUE(another.Lives());
}

TEST_F(WorkerConnection, OneThatWasNotTakenStartsNothing) {
  Victim another;
  Play(start.pods_socket, [&](int socket) {
    ReadStart(socket);
    SayStarted(socket, another.pid());
  });
  EXPECT_EQ(Launch().status().code(), EPROTO);
  EXPECT_TRUE(another.Lives());
}

TEST_F(WorkerConnection, IsTakenOnce) {
  Victim victim, another;
  Play(start.pods_socket, [&](int socket) {
    SayTaken(socket, victim.pid());
    ReadStart(socket);
    SayTaken(socket, another.pid());
  });
  EXPECT_EQ(Launch().status().code(), EPROTO);
  EXPECT_TRUE(victim.WasKilled());
  EXPECT_TRUE(another.Lives());
}

TEST_F(WorkerConnection, AnyCodeIsTheEndOfAStart) {
  for (const int code : {ENODATA, EAGAIN, 1 << 20}) {
    Victim victim;
    Play(start.pods_socket, [&](int socket) {
      SayTaken(socket, victim.pid());
      ReadStart(socket);
      SayFailed(socket, code);
      EXPECT_FALSE(ipc::Receive(socket).ok()) << "it is not waited for";
    });
    const Status status = Launch().status();
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.message(), "oh");
    EXPECT_TRUE(victim.WasKilled()) << "whatever it says";
    worker.join();
  }
}

TEST_F(WorkerConnection, SaysThatAFunctionLackedMemory) {
  for (const pod::Reason reason : {pod::Reason::kError, pod::Reason::kOutOfMemory}) {
    Victim victim;
    Play(start.pods_socket, [&](int socket) {
      SayTaken(socket, victim.pid());
      ReadStart(socket);
      SayFailed(socket, ENOEXEC, reason);
    });
    EXPECT_EQ(Launch().status().code(), ENOEXEC);
    EXPECT_EQ(out_of_memory, reason == pod::Reason::kOutOfMemory ? 1 : 0);
    worker.join();
  }
}

TEST_F(WorkerConnection, ACancelledOneEndsWhateverItSays) {
  Victim victim;
  bool stopped = false;
  std::atomic<bool> taken = false;
  Play(start.pods_socket, [&](int socket) {
    SayTaken(socket, victim.pid());
    taken = true;
    ReadStart(socket);
    EXPECT_TRUE(ipc::Receive(socket).ok());
    stopped = true;
    SayFailed(socket, ECANCELED);
  });
  launching.cancelled = [&] { return taken.load(); };
  const Result<Worker> launched = Launch();
  EXPECT_EQ(launched.status().code(), ECANCELED);
  EXPECT_TRUE(victim.WasKilled());
  worker.join();
  EXPECT_TRUE(stopped);
}

TEST_F(WorkerConnection, ACancelledOneThatNobodyTookIsNotWaitedFor) {
  Result<Fd> listener = ipc::Listen(start.pods_socket);
  ASSERT_TRUE(listener.ok()) << listener.status().message();
  launching.cancelled = [] { return true; };
  const Result<Worker> launched = Launch();
  EXPECT_EQ(launched.status().code(), ECANCELED);
  const Fd socket(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  ReadStart(socket.get());
  EXPECT_EQ(ipc::Receive(socket.get()).status().code(), ECONNRESET);
}

TEST_F(WorkerConnection, IsFoundAgain) {
  Victim victim;
  Play(start.control_socket, [&](int socket) { SayStarted(socket, victim.pid()); });
  Result<Worker> found = Worker::Reconnect(start.control_socket, victim.mark());
  ASSERT_TRUE(found.ok()) << found.status().message();
  found->Kill();
  EXPECT_TRUE(victim.WasKilled());
}

TEST_F(WorkerConnection, FoundAgainItNamesNobodyElse) {
  Victim victim, another;
  Play(start.control_socket, [&](int socket) { SayStarted(socket, another.pid()); });
  EXPECT_EQ(Worker::Reconnect(start.control_socket, victim.mark()).status().code(), EPROTO);
  EXPECT_TRUE(victim.WasKilled());
  EXPECT_TRUE(another.Lives());
}

TEST_F(WorkerConnection, ANumberThatIsUsedAgainIsNoWorker) {
  Victim another;
  ProcessMark mark = another.mark();
  --mark.started;
  EXPECT_EQ(Worker::Reconnect(start.control_socket, mark).status().code(), ESRCH);
  EXPECT_TRUE(another.Lives());
}

TEST_F(WorkerConnection, AnOrphanIsToldToEnd) {
  Victim victim;
  bool stopped = false;
  Play(start.control_socket, [&](int socket) {
    stopped = ipc::Receive(socket).ok();
    kill(victim.pid(), SIGTERM);  // it ends by itself
  });
  Orphans orphans;
  orphans.Add(start.control_socket, victim.mark());
  orphans.End(std::chrono::minutes(1));
  worker.join();
  EXPECT_TRUE(stopped);
  int status = 0;
  ASSERT_EQ(waitpid(victim.pid(), &status, 0), victim.pid());
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST_F(WorkerConnection, AnOrphanThatHangsIsKilled) {
  Victim victim, another;
  ProcessMark reused = another.mark();
  --reused.started;
  Orphans orphans;
  orphans.Add(start.control_socket, victim.mark());
  orphans.Add(start.control_socket, reused);
  orphans.Add(start.control_socket, {.pid = another.pid()});
  orphans.End(std::chrono::milliseconds(1));
  EXPECT_TRUE(victim.WasKilled());
  EXPECT_TRUE(another.Lives());
}

TEST_F(WorkerConnection, OneOfAnOlderUsetldIsNotKilled) {
  Victim another;
  Play(start.control_socket, [&](int socket) { SayStarted(socket, another.pid()); });
  Result<Worker> found = Worker::Reconnect(start.control_socket, {.pid = another.pid()});
  ASSERT_TRUE(found.ok()) << found.status().message();
  found->Kill();
  EXPECT_TRUE(another.Lives());
}

TEST_F(WorkerConnection, OneThatDoesNotListenAnyMoreIsKilled) {
  Victim victim;
  EXPECT_EQ(Worker::Reconnect(start.control_socket, victim.mark()).status().code(), ENOENT);
  EXPECT_TRUE(victim.WasKilled());
}

TEST_F(WorkerConnection, OneThatSaysThatItEndedDoesNotStay) {
  const auto say_exited = [](int socket) {
    pod::ExitRecord record{};
    record.header.type = pod::Type::kExited;
    EXPECT_TRUE(ipc::Send(socket, ipc::Bytes(record)).ok());
  };
  const auto leave = [](int) {};
  for (const std::function<void(int)>& end : {std::function<void(int)>(say_exited), {leave}}) {
    Victim victim;
    Play(start.control_socket, [&](int socket) {
      SayStarted(socket, victim.pid());
      end(socket);
    });
    Result<Worker> found = Worker::Reconnect(start.control_socket, victim.mark());
    ASSERT_TRUE(found.ok()) << found.status().message();
    Result<std::unique_ptr<Monitor>> monitor = Monitor::Create([](const auto&, auto) {});
    ASSERT_TRUE(monitor.ok()) << monitor.status().message();
    ASSERT_TRUE((*monitor)->Watch("container", std::move(*found)).ok());
    EXPECT_TRUE((*monitor)->WaitForExit("container", std::chrono::seconds(60)));
    EXPECT_TRUE(victim.WasKilled());
    worker.join();
    unlink(start.control_socket.c_str());
  }
}

}  // namespace
}  // namespace usetl::cri
