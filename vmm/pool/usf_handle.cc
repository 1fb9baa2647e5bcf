#include "vmm/pool/usf_handle.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "vmm/abi/control.h"
#include "vmm/abi/file_table.h"
#include "vmm/abi/layout.h"
#include "vmm/ipc/socket.h"
#include "vmm/pool/tmpfs.h"

namespace usetl {
namespace {

constexpr int kChildSocket = 3;
// Of a host region, what small functions use stays warm: the first page of the table, and so much
// behind it.
constexpr uint64_t kWarmTable = abi::kPageSize;
constexpr uint64_t kWarmData = 8 * abi::kPageSize;

// Both take milliseconds; these are for a host that is out of breath.
constexpr std::chrono::seconds kStartLimit{30}, kRollbackLimit{5};

// Memory grows in pages of 2 MB.
uint64_t WholePages(uint64_t bytes) { return bytes / abi::kHugePageSize * abi::kHugePageSize; }

// A file of memory that cannot change its size: mappings of it never fault for the host.
Result<Fd> NewMemory(const char* name, uint64_t size) {
  Fd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.ok()) return Status::Errno("memfd_create");
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return Status::Errno("sizing a memfd");
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Status::Errno("sealing a memfd");
  }
  return fd;
}

Result<Fd> NewHostRegion(const UsfOptions& options) {
  return options.huge_pages ? NewHugeFile(options.host_region_size)
                            : NewMemory("usetl-host-region", options.host_region_size);
}

// posix_spawn: vmmd's own pages are not copied, whatever its size.
Result<pid_t> Spawn(const std::string& program, int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, socket, kChildSocket);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  char* const argv[] = {const_cast<char*>("usetl-usf"), nullptr};
  char* const environment[] = {nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, argv, environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return Status(error, "start " + program + ": " + std::strerror(error));
  return pid;
}

// Zeroes [begin, end) of a region by giving its memory back.
Status Punch(const Fd& fd, uint64_t begin, uint64_t end) {
  if (fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                static_cast<off_t>(end - begin)) != 0) {
    return Status::Errno("scrubbing a region");
  }
  return Status();
}

// Zeroes [begin, begin + size) by overwriting, so that the next function finds it warm.
Status Overwrite(const Fd& fd, uint64_t begin, uint64_t size) {
  static constexpr uint8_t kZeros[kWarmData] = {};
  if (pwrite(fd.get(), kZeros, size, static_cast<off_t>(begin)) != static_cast<ssize_t>(size)) {
    return Status::Errno("scrubbing a region");
  }
  return Status();
}

}  // namespace

const char* Name(UsfState state) {
  switch (state) {
    case UsfState::kStarting:
      return "starting";
    case UsfState::kIdle:
      return "idle";
    case UsfState::kClaimed:
      return "claimed";
    case UsfState::kRolling:
      return "rolling back";
    case UsfState::kCloning:
      return "cloning";
    case UsfState::kDead:
      return "dead";
  }
  return "unknown";
}

UsfHandle::UsfHandle(UsfHandle&& o) noexcept
    : pool(o.pool),
      state(o.state),
      tenant(std::move(o.tenant)),
      usable(o.usable),
      uses(o.uses),
      due(o.due),
      last(o.last),
      stay(std::move(o.stay)),
      control(std::move(o.control)),
      host_region(std::move(o.host_region)),
      guest_region(std::move(o.guest_region)),
      host_event(std::move(o.host_event)),
      guest_event(std::move(o.guest_event)),
      socket_(std::move(o.socket_)),
      pid_(std::exchange(o.pid_, -1)),
      number_(o.number_),
      uid_(o.uid_),
      behind_(o.behind_),
      host_region_size_(o.host_region_size_),
      guest_region_size_(o.guest_region_size_) {}

UsfHandle::~UsfHandle() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

KilledProcess UsfHandle::Kill() {
  if (pid_ >= 0) kill(pid_, SIGKILL);  // -1 would be every process of the machine
  const bool outside = stay.state == Stay::State::kOutside || stay.state == Stay::State::kWaiting;
  return {std::exchange(pid_, -1), outside ? nullptr : stay.files, stay.move, HostRegionBytes()};
}

Result<UsfHandle> UsfHandle::Launch(const UsfOptions& options, const Runtime& runtime,
                                    uint32_t number) {
  UsfHandle usf;
  usf.number_ = number;
  usf.host_region_size_ = options.host_region_size;
  usf.guest_region_size_ = options.guest_region_size;
  const auto take = [](Result<Fd> from, Fd* to) -> Status {
    if (!from.ok()) return from.status();
    *to = std::move(*from);
    return Status();
  };
  USETL_RETURN_IF_ERROR(take(NewMemory("usetl-control", abi::kControl.size), &usf.control));
  USETL_RETURN_IF_ERROR(take(NewHostRegion(options), &usf.host_region));
  USETL_RETURN_IF_ERROR(usf.WarmHostRegion());
  USETL_RETURN_IF_ERROR(
      take(NewMemory("usetl-guest-region", options.guest_region_size), &usf.guest_region));
  usf.host_event = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  usf.guest_event = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!usf.host_event.ok() || !usf.guest_event.ok()) return Status::Errno("eventfd");
  Result<std::pair<Fd, Fd>> pair = ipc::Pair();
  if (!pair.ok()) return pair.status();
  usf.socket_ = std::move(pair->first);
  // Only this end: vmmd waits for no USF, whose process may be anybody's by now.
  if (fcntl(usf.socket_.get(), F_SETFL, O_NONBLOCK) != 0) return Status::Errno("fcntl");
  Result<pid_t> pid = Spawn(options.program, pair->second.get());
  if (!pid.ok()) return pid.status();
  usf.pid_ = *pid;
  usf.due = std::chrono::steady_clock::now() + kStartLimit;

  usf::StartCommand start{};
  start.command = usf::Command::kStart;
  start.uid = options.first_uid + number % 100'000;
  if (options.jail) usf.uid_ = start.uid;
  start.host_region_size = options.host_region_size;
  start.guest_region_size = options.guest_region_size;
  start.ram_limit = WholePages(options.ram_limit);
  start.spin_ns = options.spin_ns;
  start.trace = options.trace;
  start.verify = options.verify;
  start.warm = options.warm_runs;
  start.jail = options.jail;
  static_assert(usf::kStartFdCount + abi::kMaxPacks <= ipc::kMaxDescriptors);
  std::vector<int> fds(usf::kStartFdCount);
  fds[usf::kKvmFd] = options.kvm_fd;
  fds[usf::kSnapshotFd] = runtime.snapshot.fd();
  fds[usf::kControlFd] = usf.control.get();
  fds[usf::kHostRegionFd] = usf.host_region.get();
  fds[usf::kGuestRegionFd] = usf.guest_region.get();
  fds[usf::kHostEventFd] = usf.host_event.get();
  fds[usf::kGuestEventFd] = usf.guest_event.get();
  fds[usf::kEmptyRootFd] = options.empty_root_fd;
  fds[usf::kNetworkFd] = options.network_fd;
  for (const PackFile& pack : runtime.packs) fds.push_back(pack.fd.get());
  USETL_RETURN_IF_ERROR(ipc::Send(usf.socket_.get(), ipc::Bytes(start), {}, fds));
  return usf;
}

void UsfHandle::RunBehind(bool behind) {
  if (behind_ == behind) return;
  constexpr int kBehind = 10;
  const int own = getpriority(PRIO_PROCESS, 0);
  // Refused: it takes its share of the processors all the same, or comes later.
  (void)!setpriority(PRIO_PROCESS, pid_, std::min(own + (behind ? kBehind : 0), 19));
  behind_ = behind;
}

Status UsfHandle::WarmHostRegion() {
  struct stat info;
  if (fstat(host_region.get(), &info) != 0) return Status::Errno("scrubbing a region");
  if (static_cast<uint64_t>(info.st_size) != host_region_size_) {
    return Status(EPERM, "a worker changed the size of a region");
  }
  constexpr uint64_t kData = abi::TableBytes(abi::kHostEntries);
  USETL_RETURN_IF_ERROR(Overwrite(host_region, 0, kWarmTable));
  USETL_RETURN_IF_ERROR(Punch(host_region, kWarmTable, kData));
  USETL_RETURN_IF_ERROR(Overwrite(host_region, kData, kWarmData));
  return Punch(host_region, kData + kWarmData, host_region_size_);
}

uint64_t UsfHandle::HostRegionBytes() const {
  struct stat info;
  constexpr uint64_t kBlock = 512;  // whatever st_blksize is
  return fstat(host_region.get(), &info) == 0 ? info.st_blocks * kBlock : host_region_size_;
}

Status UsfHandle::SetMemoryLimit(uint64_t bytes) {
  const uint64_t end = abi::kRam.base + WholePages(bytes);
  constexpr off_t kAt = abi::kHostPageOffset + offsetof(abi::HostPage, ram_limit);
  // A write, not a mapping: a thousand mapped control windows would be a cost of an idle node.
  if (pwrite(control.get(), &end, sizeof end, kAt) == sizeof end) return Status();
  return Status::Errno("the memory limit of a USF");
}

void UsfHandle::SetOomScore(int score) {
  if (score == oom_score_) return;
  const Status set = usetl::SetOomScore(pid_, score);
  if (set.ok()) {
    oom_score_ = score;
    return;
  }
  static bool told = false;
  if (std::exchange(told, true)) return;
  std::fprintf(stderr,
               "usetl-vmmd: a USF keeps its rank for the kernel: %s; is CAP_SYS_RESOURCE "
               "missing?\n",
               set.message().c_str());
}

Status UsfHandle::MapPacks(const std::vector<ImagePack>& packs) {
  usf::MapPacksCommand command{};
  if (packs.size() > std::size(command.sizes))
    return Status(E2BIG, "an image with too many layers");
  command.command = usf::Command::kMapPacks;
  command.count = static_cast<uint32_t>(packs.size());
  std::vector<int> fds;
  for (size_t i = 0; i < packs.size(); ++i) {
    command.sizes[i] = packs[i].size;
    fds.push_back(packs[i].fd.get());
  }
  // It waits for its socket, no signal is needed, and looks there before it looks for a worker.
  return ipc::Send(socket_.get(), ipc::Bytes(command), {}, fds);
}

Status UsfHandle::BeginRollback() {
  SetOomScore(OwnOomScore());
  USETL_RETURN_IF_ERROR(WarmHostRegion());
  const usf::PlainCommand command{usf::Command::kRollback, 0};
  USETL_RETURN_IF_ERROR(ipc::Send(socket_.get(), ipc::Bytes(command)));
  state = UsfState::kRolling;
  due = std::chrono::steady_clock::now() + kRollbackLimit;
  return kill(pid_, SIGUSR1) == 0 ? Status() : Status::Errno("signalling a USF");
}

Status UsfHandle::CopyTo(const Fd& image, const UsfHandle& clone, uint32_t order) {
  const usf::PlainCommand command{usf::Command::kCopyOut, order};
  const int fds[usf::kCopyOutFdCount] = {image.get(), clone.guest_region.get()};
  USETL_RETURN_IF_ERROR(ipc::Send(socket_.get(), ipc::Bytes(command), {}, fds));
  return kill(pid_, SIGUSR1) == 0 ? Status() : Status::Errno("signalling a USF");
}

Status UsfHandle::MoveTo(std::span<const int> files, uint32_t order) {
  const usf::PlainCommand command{usf::Command::kMove, order};
  USETL_RETURN_IF_ERROR(ipc::Send(socket_.get(), ipc::Bytes(command), {}, files));
  return kill(pid_, SIGUSR1) == 0 ? Status() : Status::Errno("signalling a USF");
}

Status UsfHandle::BecomeCloneOf(const UsfHandle& original, const Fd& image) {
  const usf::PlainCommand command{usf::Command::kBecome, 0};
  // The clone's own process too can only read the container's files.
  const std::string path = "/proc/self/fd/" + std::to_string(original.host_region.get());
  const Fd shared(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!shared.ok()) return Status::Errno("opening a host region");
  const int fds[usf::kBecomeFdCount] = {image.get(), shared.get()};
  USETL_RETURN_IF_ERROR(ipc::Send(socket_.get(), ipc::Bytes(command), {}, fds));
  return kill(pid_, SIGUSR1) == 0 ? Status() : Status::Errno("signalling a USF");
}

}  // namespace usetl
