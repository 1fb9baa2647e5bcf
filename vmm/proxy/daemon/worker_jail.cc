#include "vmm/proxy/daemon/worker_jail.h"

#include <grp.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>

#include "vmm/base/fd.h"
#include "vmm/proxy/pod/mount_paths.h"

namespace usetl {
namespace {

// A reason per line: what needs it.
constexpr int kPlainCalls[] = {
    // Memory.
    SCMP_SYS(brk),      // malloc
    SCMP_SYS(munmap),   // malloc, stacks of threads, regions
    SCMP_SYS(mremap),   // realloc
    SCMP_SYS(madvise),  // 2 MB pages of the host region, stacks of threads
    // Client, usetl-vmmd, guest.
    SCMP_SYS(accept4),          // of a spare: its client
    SCMP_SYS(read),             // the function, doorbells, timers, objects, configuration of names
    SCMP_SYS(write),            // doorbells, objects, the daemon's pipe, complaints
    SCMP_SYS(writev),           // last words of the C library
    SCMP_SYS(close),            // whatever was open
    SCMP_SYS(recvmsg),          // messages with descriptors, netlink
    SCMP_SYS(sendmsg),          // messages
    SCMP_SYS(poll),             // the loop of a run, the resolver, libcurl
    SCMP_SYS(ppoll),            // the same, where the C library says it so
    SCMP_SYS(setitimer),        // the alarm behind a client's descriptors
    SCMP_SYS(restart_syscall),  // a sleep after stop and continue
    // HTTP.
    SCMP_SYS(connect),          // servers, name servers, usetl-vmmd
    SCMP_SYS(bind),             // netlink, of getifaddrs
    SCMP_SYS(socketpair),       // libcurl: wakes its loop when a name was found
    SCMP_SYS(pipe2),            // libcurl: the same
    SCMP_SYS(eventfd2),         // libcurl: the same
    SCMP_SYS(sendto),           // servers, name servers
    SCMP_SYS(sendmmsg),         // the resolver: both questions at once
    SCMP_SYS(recvfrom),         // servers, name servers
    SCMP_SYS(recvmmsg),         // the resolver
    SCMP_SYS(shutdown),         // OpenSSL
    SCMP_SYS(getsockname),      // libcurl, the resolver
    SCMP_SYS(getpeername),      // libcurl
    SCMP_SYS(getsockopt),       // libcurl: did it connect
    SCMP_SYS(setsockopt),       // libcurl, limits of how long a client is waited for
    SCMP_SYS(fcntl),            // libcurl: non-blocking sockets
    SCMP_SYS(epoll_create1),    // libcurl's loop
    SCMP_SYS(epoll_ctl),        // libcurl's loop
    SCMP_SYS(epoll_wait),       // libcurl's loop
    SCMP_SYS(epoll_pwait),      // the same, where the C library says it so
    SCMP_SYS(timerfd_create),   // deadlines
    SCMP_SYS(timerfd_settime),  // deadlines
    SCMP_SYS(getrandom),        // OpenSSL, names of temporary files
    SCMP_SYS(uname),            // the resolver
    SCMP_SYS(sysinfo),          // the C library sizes a sort by it
    // Files: CA bundle, configuration of names, objects.
    SCMP_SYS(open),        // the C library, where it is old
    SCMP_SYS(openat),      // all of them
    SCMP_SYS(openat2),     // objects, below their directory
    SCMP_SYS(access),      // the resolver, OpenSSL
    SCMP_SYS(readlink),    // the C library's search for modules of names
    SCMP_SYS(stat),        // as newfstatat
    SCMP_SYS(fstat),       // as newfstatat
    SCMP_SYS(newfstatat),  // sizes, whether the configuration changed
    SCMP_SYS(statx),       // as newfstatat
    SCMP_SYS(lseek),       // configuration of names
    SCMP_SYS(pread64),     // objects, modules of names
    SCMP_SYS(mkdirat),     // objects
    SCMP_SYS(renameat),    // objects
    SCMP_SYS(unlinkat),    // objects
    // Threads: libcurl looks names up in one.
    SCMP_SYS(set_robust_list),    // start of a thread
    SCMP_SYS(rseq),               // start of a thread
    SCMP_SYS(sigaltstack),        // start of a thread, under sanitizers
    SCMP_SYS(sched_getaffinity),  // malloc: how many arenas
    SCMP_SYS(gettid),             // locks
    SCMP_SYS(futex),              // locks
    SCMP_SYS(sched_yield),        // locks
    SCMP_SYS(exit),               // end of a thread
    // Signals, time, identity, the end.
    SCMP_SYS(rt_sigaction),     // the alarm
    SCMP_SYS(rt_sigprocmask),   // start of a thread
    SCMP_SYS(rt_sigreturn),     // end of the alarm's handler
    SCMP_SYS(clock_gettime),    // where the vDSO cannot answer
    SCMP_SYS(clock_nanosleep),  // a spare that cannot accept
    SCMP_SYS(gettimeofday),     // where the vDSO cannot answer
    SCMP_SYS(time),             // where the vDSO cannot answer
    SCMP_SYS(getpid),           // libcurl, netlink
    SCMP_SYS(getppid),          // whether the daemon lives
    SCMP_SYS(getuid),           // OpenSSL
    SCMP_SYS(geteuid),          // whether there are privileges to drop
    SCMP_SYS(getgid),           // OpenSSL
    SCMP_SYS(getegid),          // OpenSSL
    SCMP_SYS(setgroups),        // dropping privileges, once
    SCMP_SYS(setresgid),        // dropping privileges, once
    SCMP_SYS(setresuid),        // dropping privileges, once
    SCMP_SYS(exit_group),       // the end
#ifdef __SANITIZE_THREAD__
    SCMP_SYS(nanosleep),  // the sanitizer's own thread
    SCMP_SYS(tgkill),     // dropping privileges: that thread's too
#endif
};

constexpr int kContainerCalls[] = {
    SCMP_SYS(listen),     // ports of the pod
    SCMP_SYS(pwrite64),   // the exit file, mounted files
    SCMP_SYS(ftruncate),  // mounted files
};

constexpr int kMountCalls[] = {
    SCMP_SYS(brk),              // malloc
    SCMP_SYS(munmap),           // malloc
    SCMP_SYS(mremap),           // realloc
    SCMP_SYS(madvise),          // malloc
    SCMP_SYS(recvmsg),          // the worker
    SCMP_SYS(sendmsg),          // the worker
    SCMP_SYS(write),            // complaints
    SCMP_SYS(close),            // whatever was open
    SCMP_SYS(openat2),          // everything that is read or changed
    SCMP_SYS(fstat),            // what it is
    SCMP_SYS(newfstatat),       // as fstat
    SCMP_SYS(clock_gettime),    // whether it has just changed, where the vDSO cannot answer
    SCMP_SYS(readlinkat),       // links
    SCMP_SYS(fstatfs),          // the room that there is
    pod::kAccessAt,             // what its user may do
    SCMP_SYS(lseek),            // directories
    SCMP_SYS(getdents64),       // directories
    SCMP_SYS(pread64),          // files
    SCMP_SYS(pwrite64),         // files
    SCMP_SYS(pwritev2),         // files, behind what they have
    SCMP_SYS(ftruncate),        // files
    SCMP_SYS(fsync),            // files
    SCMP_SYS(fchmod),           // open files
    pod::kChangeModeAt,         // files, directories
    SCMP_SYS(utimensat),        // files, directories
    SCMP_SYS(mkdirat),          // directories
    SCMP_SYS(unlinkat),         // files, directories
    SCMP_SYS(renameat),         // files, directories
    SCMP_SYS(symlinkat),        // links
    SCMP_SYS(futex),            // locks
    SCMP_SYS(rt_sigreturn),     // after stop and continue
    SCMP_SYS(restart_syscall),  // the same
    SCMP_SYS(sigaltstack),      // before the end, under sanitizers
    SCMP_SYS(exit_group),       // the end
#ifdef __SANITIZE_THREAD__
    SCMP_SYS(rt_sigprocmask),  // around each signal
    SCMP_SYS(nanosleep),       // the sanitizer's own thread
#endif
};

constexpr uint64_t kPrctls[] = {
    PR_SET_PDEATHSIG,  // dropping privileges
};

constexpr uint64_t kIoctls[] = {
    FIONREAD,      // the resolver
    FIONBIO,       // libcurl
    SIOCGIFINDEX,  // names of interfaces in addresses
    SIOCGIFNAME,   // names of interfaces in addresses
};

constexpr uint64_t kFamilies[] = {
    AF_UNIX,   // usetl-vmmd, the name service's cache
    AF_INET,   // HTTP, names
    AF_INET6,  // HTTP, names
};

// Collects the first error of libseccomp.
class Rules {
 public:
  explicit Rules(scmp_filter_ctx filter) : filter_(filter) {}

  template <typename... Conditions>
  void Add(uint32_t action, int call, Conditions... conditions) {
    if (error_ != 0) return;
    error_ = seccomp_rule_add(filter_, action, call, sizeof...(conditions), conditions...);
  }
  void Keep(int error) { error_ = error_ != 0 ? error_ : error; }
  int error() const { return error_; }

 private:
  scmp_filter_ctx filter_;
  int error_ = 0;
};

void AddForMounts(Rules* rules) {
  for (const int call : kMountCalls) rules->Add(SCMP_ACT_ALLOW, call);
  rules->Add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

void AddForWorkers(bool of_container, Rules* rules) {
  for (const int call : kPlainCalls) rules->Add(SCMP_ACT_ALLOW, call);
  if (of_container) {
    for (const int call : kContainerCalls) rules->Add(SCMP_ACT_ALLOW, call);
  }
  for (const uint64_t what : kPrctls) {
    rules->Add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, what));
  }
  for (const uint64_t request : kIoctls) {
    rules->Add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, request));
  }
  for (const uint64_t family : kFamilies) {
    rules->Add(SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, family));
  }
  // This machine's addresses, which the policy keeps functions from.
  rules->Add(SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
             SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE));
  // Nothing becomes code but files: modules of names are loaded when the first name is looked up.
  rules->Add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  rules->Add(SCMP_ACT_ALLOW, SCMP_SYS(mmap),
             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC),
             SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0));
  rules->Add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  // Threads, no processes. The flags of clone3 cannot be seen: the C library takes clone instead.
  constexpr uint64_t kThread = CLONE_VM | CLONE_THREAD;
  rules->Add(SCMP_ACT_ALLOW, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, kThread, kThread));
  rules->Add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
  // Cores and the like, of itself: dropping privileges.
  rules->Add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_EQ, 0));
}

}  // namespace

Result<WorkerFilter> WorkerFilter::Compile(For whom) {
  const std::unique_ptr<void, void (*)(void*)> filter(seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                      seccomp_release);
  if (filter == nullptr) return Status(ENOMEM, "seccomp_init failed");
  Rules rules(filter.get());
  constexpr uint32_t kBinaryTree = 2;
  rules.Keep(seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree));
  if (whom == For::kMountService) {
    AddForMounts(&rules);
  } else {
    AddForWorkers(whom == For::kContainer, &rules);
  }
  const Fd file(memfd_create("usetl-filter", MFD_CLOEXEC));
  if (!file.ok()) return Status::Errno("memfd_create");
  rules.Keep(rules.error() != 0 ? 0 : seccomp_export_bpf(filter.get(), file.get()));
  if (rules.error() != 0) {
    return Status(-rules.error(),
                  std::string("the workers' seccomp filter: ") + std::strerror(-rules.error()));
  }
  const off_t size = lseek(file.get(), 0, SEEK_END);
  if (size <= 0 || size % sizeof(sock_filter) != 0) return Status(EIO, "seccomp_export_bpf failed");
  WorkerFilter compiled;
  compiled.program_.resize(size / sizeof(sock_filter));
  if (pread(file.get(), compiled.program_.data(), size, 0) != size) {
    return Status::Errno("reading a seccomp filter");
  }
  return compiled;
}

Status WorkerFilter::Apply() const {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Status::Errno("PR_SET_NO_NEW_PRIVS");
  const sock_fprog program{static_cast<unsigned short>(program_.size()),
                           const_cast<sock_filter*>(program_.data())};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0) return Status();
  return Status::Errno("seccomp filter of a worker");
}

Status DropPrivileges(uid_t uid, gid_t gid, pid_t daemon) {
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return Status::Errno("RLIMIT_CORE");
  if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setresgid(gid, gid, gid) != 0 ||
                         setresuid(uid, uid, uid) != 0)) {
    return Status::Errno("dropping the worker's privileges");
  }
  // A change of user clears it: after, not before.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return Status::Errno("PR_SET_PDEATHSIG");
  if (getppid() != daemon) return Status(ECHILD, "usetl-proxy is gone");
  return Status();
}

}  // namespace usetl
