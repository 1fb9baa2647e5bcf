#include "vmm/proxy/daemon/daemon.h"

#include <curl/curl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <cstdio>

#include "vmm/ipc/listener.h"
#include "vmm/ipc/socket.h"
#include "vmm/proxy/daemon/spares.h"
#include "vmm/proxy/daemon/worker_jail.h"
#include "vmm/proxy/worker/session.h"

namespace usetl {
namespace {

constexpr uint32_t kUids = 100'000;  // more than there are workers at a time

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

// A worker, while it waits for its client: what the first function would wait for otherwise.
void Prepare(const ProxyOptions& options, const WorkerFilter& filter, Fd* vmmd) {
  // A daemon that is not there yet is tried again later.
  Result<Fd> connected = ipc::Connect(options.vmmd_socket);
  if (connected.ok()) *vmmd = std::move(*connected);
  Session::Rehearse();
  // Here, where it costs no client time; the calls that drop privileges later are allowed.
  if (const Status status = filter.Apply(); !status.ok()) {
    std::fprintf(stderr, "usetl-proxy: %s\n", status.message().c_str());
    _exit(1);
  }
}

// The connection made ahead, unless usetl-vmmd was replaced meanwhile.
Result<Fd> TakeConnection(const ProxyOptions& options, Fd* vmmd) {
  pollfd alive{vmmd->get(), POLLIN, 0};
  if (vmmd->ok() && poll(&alive, 1, 0) == 0) return std::move(*vmmd);
  return ipc::Connect(options.vmmd_socket);
}

void Work(Fd client, const ProxyOptions& options, const etl::ObjectStore& objects, Fd* prepared,
          uint32_t number, pid_t daemon) {
  Result<Fd> vmmd = TakeConnection(options, prepared);
  Status status = DropPrivileges(options.first_uid + number % kUids, options.gid, daemon);
  if (status.ok() && !vmmd.ok()) {
    status = vmmd.status();
    // An answer to a request that nobody has read would be lost when this end closes.
    if (!ipc::Receive(client.get()).ok()) _exit(1);
  }
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
}

// Keeps workers ready until a signal ends it.
Status Serve(const ProxyOptions& options, const etl::ObjectStore& objects, int listener,
             int signals) {
  Fd vmmd;  // of the worker that this process has become
  const Result<WorkerFilter> filter = WorkerFilter::Compile();
  if (!filter.ok()) return filter.status();
  const pid_t daemon = getpid();
  Result<Spares> spares = Spares::Create(
      listener,
      [&] {
        close(signals);
        Prepare(options, *filter, &vmmd);
      },
      [&](Fd client, uint32_t number) {
        Work(std::move(client), options, objects, &vmmd, number, daemon);
      });
  if (!spares.ok()) return spares.status();
  USETL_RETURN_IF_ERROR(options.ready());
  // Workers are made in quiet moments, unless none is left: not beside a function that just
  // started.
  constexpr int kQuietMs = 5;
  constexpr int kPauseMs = 100;  // after what would fail again at once
  int wait = 0;
  for (;;) {
    pollfd fds[2] = {{spares->poll_fd(), POLLIN, 0}, {signals, POLLIN, 0}};
    const int ready = poll(fds, 2, wait);
    if (ready < 0 && errno != EINTR) return Status::Errno("poll");
    if (ready == 0) {
      const Status filled = spares->Fill();
      if (!filled.ok()) std::fprintf(stderr, "usetl-proxy: %s\n", filled.message().c_str());
      wait = filled.ok() ? -1 : kPauseMs;
      continue;
    }
    signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGCHLD) return Status();
    }
    spares->OnTaken();
    if (spares->OnDeaths()) {
      wait = kPauseMs;
    } else if (spares->missing()) {
      wait = spares->empty() ? 0 : kQuietMs;
    }
  }
}

}  // namespace

Status RunProxy(const ProxyOptions& options) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&set, signal);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return Status::Errno("sigprocmask");
  const Fd signals(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.ok()) return Status::Errno("signalfd");
  signal(SIGPIPE, SIG_IGN);  // servers that hang up are errors of a transfer
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return Status(EIO, "curl_global_init failed");
  etl::ObjectStore objects;
  USETL_RETURN_IF_ERROR(AddObjects(options.objects, &objects));
  const Result<ipc::Listener> listener = ipc::Listener::Create(options.socket);
  if (!listener.ok()) return listener.status();
  return Serve(options, objects, listener->get(), signals.get());
}

}  // namespace usetl
