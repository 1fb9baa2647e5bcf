// From usetld's request to a container that has started.
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "vmm/proxy/pod/container.h"
#include "vmm/proxy/pod/contents.h"
#include "vmm/proxy/pod/names.h"

namespace usetl::pod {
namespace {

constexpr uint64_t kLoadId = 1, kScriptId = 2;
constexpr uint32_t kMaxClaimMs = 30'000;

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

template <size_t N>
bool CopyText(const std::string& text, char (&field)[N]) {
  if (text.size() >= N) return false;
  std::memcpy(field, text.c_str(), text.size() + 1);
  return true;
}

// Gives back what starting took of the stack: messages are received into large arrays.
void TrimStack() {
  constexpr uintptr_t kInUse = 8 << 10, kAtMost = 256 << 10, kPage = abi::kPageSize;
  const uintptr_t end =
      (reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) - kInUse) / kPage * kPage;
  // Where the stack never was it is not mapped: an error of no interest.
  (void)!madvise(reinterpret_cast<void*>(end - kAtMost), kAtMost, MADV_DONTNEED);
}

}  // namespace

Status Container::Claim(StartRequest* request) {
  pool::ClaimRequest claim{};
  claim.request = pool::Request::kClaim;
  claim.wait_ms = std::min(request->start_timeout_ms, kMaxClaimMs);
  claim.ram_limit = request->memory;
  claim.oom_score = oom_score_;
  if (!CopyText(request->runtime, claim.runtime) || !CopyText(request->tenant, claim.tenant)) {
    return Status(EINVAL, "the name of the runtime or tenant is too long");
  }
  // A daemon that hangs must not keep us; all later messages are waited for with poll(2).
  const timeval patience{static_cast<time_t>(claim.wait_ms / 1000 + 5), 0};
  if (setsockopt(vmmd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) {
    return Status::Errno("usetl-vmmd");
  }
  Fd region_file;
  packs_ = std::move(request->packs);
  Result<std::unique_ptr<UsfLink>> link = UsfLink::Claim(
      std::move(vmmd_), claim, usf_cgroups_, packs_, &region_file, control_.connection_fd());
  // Whoever takes this process over could move any process of the node by them.
  usf_cgroups_.clear();
  if (!link.ok()) return link.status();
  link_ = std::move(*link);
  usf_cpu_before_ = UsfCpuNs();
  Result<Mounts> mounts = Mounts::Create(std::move(mount_service_), mounted_directories_,
                                         std::move(request->mounted_files),
                                         {&link_->region(), &link_->guest_region(), region_file});
  if (!mounts.ok()) return mounts.status();
  mounts_.emplace(std::move(*mounts));
  return Status();
}

Status Container::Start(ipc::Message message) {
  Result<StartRequest> request = ReadStart(std::move(message));
  if (!request.ok()) return request.status();
  start_deadline_ = Clock::now() + std::chrono::milliseconds(request->start_timeout_ms);
  id_ = request->id;
  mode_ = request->mode;
  log_ = std::make_unique<Log>(std::move(request->log));
  for (const std::string& origin : request->allow) USETL_RETURN_IF_ERROR(policy_.Allow(origin));
  if (request->network) policy_.AllowNetwork();
  Result<etl::NameConfig> names = ReadNames(*request);
  if (!names.ok()) return names.status();
  names_ = std::move(*names);
  if (mode_ != "script") {
    Result<Ports> ports = Ports::Bind(request->ports);
    if (!ports.ok()) return ports.status();
    ports_ = std::move(*ports);
  }
  invoker_options_.timeout = std::chrono::milliseconds(request->timeout_ms);
  if (!request->hostname.empty()) request->environment.emplace("HOSTNAME", request->hostname);
  KeepForExec(*request);
  USETL_RETURN_IF_ERROR(Claim(&*request));
  USETL_RETURN_IF_ERROR(PublishContents(*request, &link_->region()));
  if (link_->Post(abi::RecordType::kLoad, kLoadId, AsBytes(LoadRecord(*request)))) return Status();
  return Status(E2BIG, "arguments, environment and paths of mounts exceed 32 kB");
}

Status Container::PostScript() {
  const nlohmann::json order = {{"context", {{"function_name", id_}}}, {"event", nullptr}};
  if (link_->Post(abi::RecordType::kInvoke, kScriptId, AsBytes(order.dump()))) return Status();
  return Status(EIO, "the ring to the guest is full");  // nothing but the load was in it
}

Status Container::OpenFront(bool streams) {
  Invoker::Usf usf;
  usf.region = &link_->region();
  usf.guest = &link_->guest_region();
  usf.post = [this](abi::RecordType type, uint64_t id, std::string_view payload) {
    return link_->Post(type, id, AsBytes(payload));
  };
  usf.log = [this](std::string_view report) { Say(report); };
  usf.memory = [this] { return link_->DescribeMemoryLimit(kMemoryRemedy); };
  invoker_ = std::make_unique<Invoker>(invoker_options_, std::move(usf));
  Result<std::unique_ptr<Front>> front = Front::Open(ports_.Release(), invoker_.get(), streams);
  if (!front.ok()) return front.status();
  front_ = std::move(*front);
  return Status();
}

Status Container::OnLoaded(const Reply& reply) {
  if (!reply.ok) {
    Say(reply.report);
    const std::string memory = reply.out_of_memory ? link_->DescribeMemoryLimit(kMemoryRemedy) : "";
    if (memory.empty()) return Status(ENOEXEC, reply.cause);
    const std::string text = "out of memory while it was loaded: " + memory;
    End(Killed(SIGKILL, Reason::kOutOfMemory, text));
    outcome_->report = "usetl: " + text;
    return Status(ENOEXEC, text);
  }
  if (mode_ == "http" && !reply.has_handler) {
    return Status(ENOEXEC, "the function offers nothing that answers HTTP");
  }
  start_deadline_.reset();
  script_ = !reply.has_handler;
  if (script_) {
    ports_.Close();
    USETL_RETURN_IF_ERROR(PostScript());
  } else {
    USETL_RETURN_IF_ERROR(OpenFront(reply.streams));
  }
  loaded_ = true;  // up to here an error is one of the start
  StartedRecord started{};
  started.worker = getpid();
  started.usf = link_->usf_pid();
  started.usf_cpu_ns = usf_cpu_before_;
  control_.Started(started);
  SettleDown();
  return Status();
}

// What nobody waits for.
void Container::SettleDown() {
  const Status entered = EnterCgroups(cgroups_);
  if (!entered.ok()) {
    std::fprintf(stderr, "usetl-proxy: container %s: %s\n", id_.c_str(), entered.message().c_str());
  }
  cgroups_.clear();
  if (usf_charged_) {
    const Status let = link_->LetEnter();
    if (!let.ok()) End(Lost("usetl-vmmd left while the function was loaded"));
  }
  malloc_trim(0);
  TrimStack();
}

}  // namespace usetl::pod
