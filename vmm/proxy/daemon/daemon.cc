#include "vmm/proxy/daemon/daemon.h"

#include <curl/curl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdio>

#include "vmm/ipc/socket.h"
#include "vmm/proxy/worker/session.h"

namespace usetl {
namespace {

// No capabilities, an unprivileged user, no way back.
Status DropPrivileges(uint32_t uid, pid_t daemon) {
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return Status::Errno("RLIMIT_CORE");
  if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setresgid(uid, uid, uid) != 0 ||
                         setresuid(uid, uid, uid) != 0)) {
    return Status::Errno("dropping the worker's privileges");
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Status::Errno("PR_SET_NO_NEW_PRIVS");
  // Becoming another user takes it back, so it comes last.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return Status::Errno("PR_SET_PDEATHSIG");
  if (getppid() != daemon) return Status(ESRCH, "usetl-proxy ended");
  return Status();
}

// NAME=DIRECTORY[:rw] items.
Status AddObjects(const std::vector<std::string>& items, etl::ObjectStore* store) {
  for (std::string item : items) {
    const bool writable = item.ends_with(":rw");
    if (writable) item.resize(item.size() - 3);
    const size_t equals = item.find('=');
    if (equals == std::string::npos) return Status(EINVAL, "--objects wants NAME=DIRECTORY[:rw]");
    USETL_RETURN_IF_ERROR(store->Add(item.substr(0, equals), item.substr(equals + 1), writable));
  }
  return Status();
}

[[noreturn]] void Work(Fd client, const ProxyOptions& options, const etl::ObjectStore& objects,
                       pid_t daemon) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  Result<Fd> vmmd = ipc::Connect(options.vmmd_socket);
  Status status = vmmd.ok() ? DropPrivileges(options.worker_uid, daemon) : vmmd.status();
  if (!status.ok()) {
    const run::Header header{run::Type::kFailed, 125};
    const std::string& text = status.message();
    // Nobody is left to tell when this fails too.
    (void)!ipc::Send(client.get(), ipc::Bytes(header),
                     {reinterpret_cast<const uint8_t*>(text.data()), text.size()})
        .ok();
    _exit(1);
  }
  Session(std::move(client), std::move(*vmmd), objects).Run();
  _exit(0);
}

}  // namespace

Status RunProxy(const ProxyOptions& options) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&set, signal);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return Status::Errno("sigprocmask");
  Fd signals(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.ok()) return Status::Errno("signalfd");
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return Status(EIO, "curl_global_init failed");
  etl::ObjectStore objects;
  USETL_RETURN_IF_ERROR(AddObjects(options.objects, &objects));
  Result<Fd> listener = ipc::Listen(options.socket);
  if (!listener.ok()) return listener.status();
  for (;;) {
    pollfd fds[2] = {{listener->get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return Status::Errno("poll");
    if (fds[1].revents != 0) {
      signalfd_siginfo info;
      if (read(signals.get(), &info, sizeof info) == sizeof info && info.ssi_signo != SIGCHLD) {
        unlink(options.socket.c_str());
        return Status();
      }
      while (waitpid(-1, nullptr, WNOHANG) > 0) {
      }
    }
    if (fds[0].revents == 0) continue;
    Fd client(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.ok()) continue;  // it left again, or descriptors are short for a moment
    const pid_t daemon = getpid();
    const pid_t worker = fork();
    if (worker == 0) {
      listener->Reset();
      signals.Reset();
      Work(std::move(client), options, objects, daemon);
    }
    if (worker < 0) std::fprintf(stderr, "usetl-proxy: cannot fork a worker\n");
  }
}

}  // namespace usetl
