#include "vmm/proxy/daemon/daemon.h"

#include <curl/curl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <cstdio>
#include <vector>

#include "vmm/ipc/listener.h"
#include "vmm/ipc/socket.h"
#include "vmm/proxy/daemon/heap.h"
#include "vmm/proxy/daemon/library_data.h"
#include "vmm/proxy/daemon/spares.h"
#include "vmm/proxy/daemon/worker_jail.h"
#include "vmm/proxy/gateway/server.h"
#include "vmm/proxy/pod/worker.h"
#include "vmm/proxy/worker/session.h"

namespace usetl {
namespace {

// Users of workers: more than there are workers at a time. Containers live long and runs are many:
// each kind counts in a half of its own, so that none gets the user of one that still lives.
constexpr uint32_t kUids = 50'000;

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
void Prepare(const ProxyOptions& options, Fd* vmmd) {
  // A daemon that is not there yet is tried again later.
  Result<Fd> connected = ipc::Connect(options.vmmd_socket);
  if (connected.ok()) *vmmd = std::move(*connected);
}

// The connection made ahead, unless usetl-vmmd was replaced meanwhile.
Result<Fd> TakeConnection(const ProxyOptions& options, Fd* vmmd) {
  pollfd alive{vmmd->get(), POLLIN, 0};
  if (vmmd->ok() && poll(&alive, 1, 0) == 0) return std::move(*vmmd);
  Result<Fd> connected = ipc::Connect(options.vmmd_socket);
  // Whoever reads the code takes ENOENT for a file of the function's.
  if (connected.status().code() == ENOENT) {
    return Status(ECONNREFUSED, "usetl-vmmd: " + connected.status().message());
  }
  return connected;
}

void Work(Fd client, const ProxyOptions& options, const etl::ObjectStore& objects, Fd* prepared,
          uint32_t number, pid_t daemon) {
  Result<Fd> vmmd = TakeConnection(options, prepared);
  Status status = DropPrivileges(options.first_uid + number, options.gid, daemon);
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

struct Filters {
  const WorkerFilter& of_clients;
  const WorkerFilter& of_pods;
  const WorkerFilter& of_mounts;
};

// Makes workers of both kinds. In a worker, `vmmd` is the connection that was made ahead.
Result<std::vector<Spares>> MakeSpares(const ProxyOptions& options, const etl::ObjectStore& objects,
                                       const Filters filters, int clients, int pods, int signals,
                                       Fd* vmmd, std::vector<Spares>* all) {
  const pid_t daemon = getpid();
  // One serves the next client while the other is being made.
  constexpr size_t kForClients = 2, kForPods = 2;
  std::vector<Spares> made;
  Result<Spares> spares = Spares::Create(
      clients, kForClients, kUids,
      [&options, &filter = filters.of_clients, signals, vmmd, pods, all] {
        close(signals);
        if (pods >= 0) all->back().Leave();
        Prepare(options, vmmd);
        Session::Rehearse();
        // Here, where it costs no client time; the calls that drop privileges later are allowed.
        if (const Status status = filter.Apply(); !status.ok()) {
          std::fprintf(stderr, "usetl-proxy: %s\n", status.message().c_str());
          _exit(1);
        }
      },
      [&options, &objects, vmmd, daemon](Fd client, uint32_t number) {
        Work(std::move(client), options, objects, vmmd, number, daemon);
      });
  if (!spares.ok()) return spares.status();
  made.push_back(std::move(*spares));
  if (pods < 0) return made;
  spares = Spares::Create(
      pods, kForPods, kUids,
      [&options, signals, vmmd, all] {
        close(signals);
        all->front().Leave();
        Prepare(options, vmmd);
      },
      [&options, &objects, filters, vmmd, daemon](Fd usetld, uint32_t number) {
        // It has joined its pod, which the filter does not allow.
        const auto drop_privileges = [&] {
          const Status dropped =
              DropPrivileges(options.first_uid + kUids + number, options.gid, daemon);
          return dropped.ok() ? filters.of_pods.Apply() : dropped;
        };
        pod::Work(std::move(usetld), TakeConnection(options, vmmd), objects, drop_privileges,
                  [&] { return filters.of_mounts.Apply(); });
      });
  if (!spares.ok()) return spares.status();
  made.push_back(std::move(*spares));
  return made;
}

// True: a worker died before it had a client.
bool Reap(std::vector<Spares>* all) {
  bool unused = false;
  int status = 0;
  for (pid_t worker; (worker = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
      std::fprintf(stderr,
                   "usetl-proxy: a worker was killed: no worker makes such a system call\n");
    }
    for (Spares& spares : *all) unused |= spares.OnDeath(worker);
  }
  return unused;
}

// Keeps workers ready until a signal ends it.
Status Serve(const ProxyOptions& options, const etl::ObjectStore& objects, int clients, int pods,
             int signals) {
  Fd vmmd;  // of the worker that this process has become
  using For = WorkerFilter::For;
  const Result<WorkerFilter> of_clients = WorkerFilter::Compile(For::kClient);
  if (!of_clients.ok()) return of_clients.status();
  const Result<WorkerFilter> of_pods = WorkerFilter::Compile(For::kContainer);
  if (!of_pods.ok()) return of_pods.status();
  const Result<WorkerFilter> of_mounts = WorkerFilter::Compile(For::kMountService);
  if (!of_mounts.ok()) return of_mounts.status();
  std::vector<Spares> all;
  Result<std::vector<Spares>> made = MakeSpares(
      options, objects, {*of_clients, *of_pods, *of_mounts}, clients, pods, signals, &vmmd, &all);
  if (!made.ok()) return made.status();
  all = std::move(*made);
  FillHeap();
  USETL_RETURN_IF_ERROR(ShareLibraryData());
  USETL_RETURN_IF_ERROR(options.ready());
  // Workers are made in quiet moments, unless none is left: not beside a function that is starting.
  constexpr int kQuietMs = 20;
  constexpr int kPauseMs = 100;  // after what would fail again at once
  int wait = 0;
  std::string said;
  for (;;) {
    std::vector<pollfd> fds = {{signals, POLLIN, 0}};
    for (const Spares& spares : all) fds.push_back({spares.poll_fd(), POLLIN, 0});
    const int ready = poll(fds.data(), fds.size(), wait);
    if (ready < 0 && errno != EINTR) return Status::Errno("poll");
    if (ready == 0) {
      wait = -1;
      for (Spares& spares : all) {
        const Status filled = spares.Fill();
        if (filled.ok()) continue;
        // Once while it stays so.
        if (said != filled.message()) {
          said = filled.message();
          std::fprintf(stderr, "usetl-proxy: %s; trying again\n", said.c_str());
        }
        wait = kPauseMs;
      }
      continue;
    }
    signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGCHLD) return Status();
    }
    for (Spares& spares : all) spares.OnTaken();
    if (Reap(&all)) {
      wait = kPauseMs;
      continue;
    }
    for (const Spares& spares : all) {
      if (spares.empty()) wait = 0;
      if (spares.missing() && wait != 0) wait = kQuietMs;
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
  ipc::Listener pods;
  if (!options.pods_socket.empty()) {
    Result<ipc::Listener> opened = ipc::Listener::Create(options.pods_socket);
    if (!opened.ok()) return opened.status();
    pods = std::move(*opened);
    gateway::WarmUp();  // once, for all workers to come
  }
  return Serve(options, objects, listener->get(), pods.get(), signals.get());
}

}  // namespace usetl
