#include "vmm/proxy/worker/usf_link.h"

#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace usetl {
namespace {

Result<Mapping> MapShared(const Fd& fd, uint64_t size, int protection) {
  void* at = mmap(nullptr, size, protection, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) return Status::Errno("mapping a USF's memory");
  return Mapping(at, size);
}

std::vector<int> Numbers(std::span<const Fd> fds) {
  std::vector<int> numbers;
  for (const Fd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

}  // namespace

Result<std::unique_ptr<UsfLink>> UsfLink::Claim(Fd vmmd, const pool::ClaimRequest& request,
                                                std::span<const Fd> cgroups,
                                                std::span<const Fd> packs, Fd* guest_region,
                                                int orders, const std::function<void()>& slow) {
  static_assert(pool::kMaxCgroups + abi::kMaxImagePacks <= ipc::kMaxDescriptors);
  pool::ClaimRequest claim = request;
  claim.packs = static_cast<uint32_t>(packs.size());
  std::vector<int> files = Numbers(cgroups);
  for (const Fd& pack : packs) files.push_back(pack.get());
  USETL_RETURN_IF_ERROR(ipc::Send(vmmd.get(), ipc::Bytes(claim), {}, files));
  if (slow) {
    constexpr int kSecond = 1000;
    pollfd answer{vmmd.get(), POLLIN, 0};
    if (poll(&answer, 1, kSecond) == 0) slow();
  }
  if (orders >= 0) {
    // Past its limit, and after a signal, the call below waits as it does without.
    pollfd fds[] = {{vmmd.get(), POLLIN, 0}, {orders, POLLIN, 0}};
    poll(fds, std::size(fds), static_cast<int>(claim.wait_ms));
    if (fds[0].revents == 0 && fds[1].revents != 0) {
      return Status(ECANCELED, "it was stopped while it waited for a USF");
    }
  }
  Result<ipc::Message> message = ipc::Receive(vmmd.get());
  if (!message.ok()) return message.status().Annotate("usetl-vmmd");
  pool::ReplyRecord reply;
  if (message->bytes.size() < sizeof reply) return Status(EPROTO, "usetl-vmmd: short answer");
  std::memcpy(&reply, message->bytes.data(), sizeof reply);
  if (reply.error != 0) {
    return Status(reply.error,
                  std::string(message->bytes.begin() + sizeof reply, message->bytes.end()));
  }
  if (message->fds.size() != pool::kClaimFdCount)
    return Status(EPROTO, "usetl-vmmd: no descriptors");
  std::unique_ptr<UsfLink> link(new UsfLink);
  link->vmmd_ = std::move(vmmd);
  USETL_RETURN_IF_ERROR(link->Map(reply, &message->fds));
  if (guest_region != nullptr) *guest_region = std::move(message->fds[pool::kGuestRegionFd]);
  return link;
}

Result<std::unique_ptr<UsfLink>> UsfLink::OfClone(ipc::Message cloned) {
  pool::ReplyRecord reply;
  if (cloned.bytes.size() < sizeof reply) return Status(EPROTO, "usetl-vmmd: short answer");
  std::memcpy(&reply, cloned.bytes.data(), sizeof reply);
  if (reply.error != 0) {
    return Status(reply.error,
                  std::string(cloned.bytes.begin() + sizeof reply, cloned.bytes.end()));
  }
  if (cloned.fds.size() != pool::kClaimFdCount + 1) {
    return Status(EPROTO, "usetl-vmmd: no descriptors");
  }
  std::unique_ptr<UsfLink> link(new UsfLink);
  link->vmmd_ = std::move(cloned.fds.back());
  USETL_RETURN_IF_ERROR(link->Map(reply, &cloned.fds));
  return link;
}

Status UsfLink::RequestClone(std::span<const Fd> packs) {
  const pool::PlainRequest request{pool::Request::kClone, 0};
  return ipc::Send(vmmd_.get(), ipc::Bytes(request), {}, Numbers(packs));
}

Status UsfLink::LetEnter() {
  const pool::PlainRequest request{pool::Request::kEnter, 0};
  return ipc::Send(vmmd_.get(), ipc::Bytes(request));
}

Status UsfLink::Leave() {
  const pool::PlainRequest request{pool::Request::kLeave, 0};
  USETL_RETURN_IF_ERROR(ipc::Send(vmmd_.get(), ipc::Bytes(request)));
  // Meanwhile.
  region_.reset();
  guest_view_.reset();
  control_ = Mapping();
  host_region_ = Mapping();
  guest_region_ = Mapping();
  for (;;) {
    const Result<ipc::Message> message = ipc::Receive(vmmd_.get());
    if (!message.ok()) return message.status().Annotate("usetl-vmmd");
    pool::ReplyRecord reply;
    if (message->bytes.size() < sizeof reply) return Status(EPROTO, "usetl-vmmd: short answer");
    std::memcpy(&reply, message->bytes.data(), sizeof reply);
    // What it said before is of no interest any more.
    if (reply.reply == pool::Reply::kReleased) return Status();
  }
}

abi::Boot& UsfLink::boot() const {
  return *reinterpret_cast<abi::Boot*>(control_.data() + abi::kBootOffset);
}

uint64_t UsfLink::memory_refused() const {
  return reinterpret_cast<const volatile abi::GuestPage*>(control_.data() + abi::kGuestPageOffset)
      ->memory_refused;
}

uint64_t UsfLink::memory_limit() const {
  const auto& page =
      *reinterpret_cast<const abi::HostPage*>(control_.data() + abi::kHostPageOffset);
  return page.ram_limit - abi::kRam.base;
}

std::string UsfLink::DescribeMemoryLimit(std::string_view remedy) const {
  if (memory_refused() == 0) return "";
  return "the function came to its memory limit of " + std::to_string(memory_limit() >> 20) +
         " MB; it gets more by " + std::string(remedy);
}

Status UsfLink::Map(const pool::ReplyRecord& reply, std::vector<Fd>* fds) {
  usf_ = reply.usf;
  usf_pid_ = reply.usf_pid;
  const auto map = [&](pool::ClaimFd which, uint64_t size, int protection, Mapping* to) -> Status {
    Result<Mapping> mapping = MapShared((*fds)[which], size, protection);
    if (!mapping.ok()) return mapping.status();
    *to = std::move(*mapping);
    return Status();
  };
  constexpr int kReadWrite = PROT_READ | PROT_WRITE;
  USETL_RETURN_IF_ERROR(map(pool::kControlFd, abi::kControl.size, kReadWrite, &control_));
  USETL_RETURN_IF_ERROR(
      map(pool::kHostRegionFd, reply.host_region_size, kReadWrite, &host_region_));
  USETL_RETURN_IF_ERROR(
      map(pool::kGuestRegionFd, reply.guest_region_size, PROT_READ, &guest_region_));
  if (reply.huge_pages != 0) {
    // The table and small files stay on 4 kB pages: an idle USF should not hold a page of 2 MB.
    const uint64_t size = reply.host_region_size;
    const uint64_t small = std::min<uint64_t>(size, abi::kHugePageSize);
    if (madvise(host_region_.data() + small, size - small, MADV_HUGEPAGE) != 0) {
      return Status::Errno("2 MB pages for the host region");
    }
  }
  host_event_ = std::move((*fds)[pool::kHostEventFd]);
  guest_event_ = std::move((*fds)[pool::kGuestEventFd]);

  uint8_t* control = control_.data();
  auto& host = *reinterpret_cast<abi::HostPage*>(control + abi::kHostPageOffset);
  auto& guest = *reinterpret_cast<abi::GuestPage*>(control + abi::kGuestPageOffset);
  to_guest_ = abi::RingProducer(&host.to_guest, &guest.to_guest, control + abi::kToGuestOffset,
                                abi::kToGuestSize);
  to_host_ = abi::RingConsumer(&host.to_host, &guest.to_host, control + abi::kToHostOffset,
                               abi::kToHostSize);
  output_ = abi::RingConsumer(&host.output, &guest.output, control + abi::kOutputOffset,
                              abi::kOutputSize);
  region_ = std::make_unique<HostRegion>(host_region_.data(), reply.host_region_size,
                                         reply.huge_pages != 0);
  region_->Format();
  guest_view_ = std::make_unique<GuestRegionView>(guest_region_.data(), reply.guest_region_size);
  return Status();
}

bool UsfLink::Post(abi::RecordType type, uint64_t id, std::span<const uint8_t> head,
                   std::span<const uint8_t> tail) {
  if (!to_guest_.Put(static_cast<uint16_t>(type), id, head.data(),
                     static_cast<uint32_t>(head.size()), tail.data(),
                     static_cast<uint32_t>(tail.size()))) {
    return false;
  }
  if (to_guest_.BellDue()) RingForRoom();
  return true;
}

void UsfLink::RingForRoom() {
  const uint64_t one = 1;
  (void)!write(guest_event_.get(), &one, sizeof one);  // full: it rings already
}

abi::RingRead UsfLink::Take(abi::RecordHeader* header, std::span<const uint8_t>* payload) {
  const abi::RingRead read = to_host_.Take(header, payload_.get());
  if (read == abi::RingRead::kRecord) {
    *payload = {payload_.get(), header->size - sizeof *header};
    if (to_host_.ProducerWaits()) RingForRoom();
  }
  return read;
}

int64_t UsfLink::TakeOutput(void* bytes, uint32_t size) {
  const int64_t count = output_.TakeBytes(bytes, size);
  if (count > 0 && output_.ProducerWaits()) RingForRoom();
  return count;
}

bool UsfLink::PrepareWait() {
  const bool records = to_host_.PrepareWait();
  const bool output = output_.PrepareWait();
  if (records && output) return true;
  EndWait(false);
  return false;
}

void UsfLink::EndWait(bool rung) {
  to_host_.EndWait();
  output_.EndWait();
  if (!rung) return;
  uint64_t count;
  (void)!read(host_event_.get(), &count, sizeof count);  // EAGAIN: it did not ring
}

}  // namespace usetl
