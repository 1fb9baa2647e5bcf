#include "vmm/proxy/pod/mounts.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "vmm/ipc/socket.h"
#include "vmm/proxy/pod/mount_reader.h"

namespace usetl::pod {
namespace {

using abi::MountOp;

// Of one guest, in the host region. The others are for bodies of HTTP and files from the start.
constexpr size_t kMostEntries = 384;
// Of these and of the region: what mappings leave for read(2) of other files.
constexpr size_t kReadEntries = 64;
constexpr uint64_t kReadRoom = 1 << 20;

// Under way at most: a service that hangs keeps nobody but who asks it. Files that are closed, of
// which a program may have many at once, take but a part of them.
constexpr size_t kMostOrders = 64, kMostCloses = 16;

bool OnlyReads(const abi::MountChange& change) {
  return change.op == MountOp::kLook || change.op == MountOp::kList ||
         change.op == MountOp::kRead || change.op == MountOp::kAccess ||
         change.op == MountOp::kSpace ||
         (change.op == MountOp::kOpen && change.flags == abi::kMountReads);
}

bool ByHandle(const abi::MountChange& change) {
  const MountOp op = change.op;
  return op == MountOp::kRead || op == MountOp::kWrite || op == MountOp::kTruncate ||
         op == MountOp::kSync || (change.flags & abi::kMountOpened) != 0;
}

bool GivesContent(MountOp op) { return op == MountOp::kRead || op == MountOp::kOpen; }

std::vector<uint8_t> ErrorAnswer(int error) { return MountAnswer::Error(error).Pack(); }

}  // namespace

Result<Mounts> Mounts::Create(MountService service, uint32_t directories, std::vector<Fd> files,
                              const Regions& regions) {
  if (service.socket.ok()) {
    const uint64_t size = regions.guest->size();
    const int fds[] = {regions.guest_file.get()};
    const Status sent = ipc::Send(service.socket.get(), ipc::Bytes(size), {}, fds);
    if (!sent.ok()) return sent.Annotate("the mount service");
    const int flags = fcntl(service.socket.get(), F_GETFL);
    if (flags < 0 || fcntl(service.socket.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
      return Status::Errno("the socket of the mount service");
    }
  }
  return Mounts(std::move(service), directories,
                MountWriter(std::move(files), directories, regions.guest), regions.host);
}

Status Mounts::OnChange(MountAsker* asker, uint64_t id, std::span<const uint8_t> payload) {
  if (asker->asked_) return Status(EPROTO, "the guest asks two things of mounts at once");
  const Result<MountOrder> order = ReadMountChange(payload);
  if (!order.ok()) return order.status();
  asker->asked_ = id;
  if (const int error = Ask(asker, *order, payload); error >= 0) {
    asker->answer_ = ErrorAnswer(error);
  }
  return Status();
}

// An errno, 0: it is done; -1: the service will answer.
int Mounts::Ask(MountAsker* asker, const MountOrder& order, std::span<const uint8_t> payload) {
  const abi::MountChange& change = order.change;
  if (asker->clone_ && !OnlyReads(change)) return EROFS;
  if (change.mount >= directories_) return files_.Apply(order);
  if (!service_.socket.ok() || orders_.size() >= kMostOrders) return EIO;
  if (ByHandle(change) && !asker->handles_.contains(change.handle)) return EBADF;
  if (change.op == MountOp::kClose) return EINVAL;
  BodyCursor content;
  if (GivesContent(change.op) && change.size != 0) {
    Result<BodyCursor> room = Reserve(*asker, change);
    if (!room.ok()) return ENOSPC;
    content = std::move(*room);
  }
  return Send({asker, change, {payload.begin(), payload.end()}, std::move(content), {}}) ? -1 : EIO;
}

Result<BodyCursor> Mounts::Reserve(const MountAsker& asker, const abi::MountChange& change) {
  const bool maps = (change.flags & abi::kMountMaps) != 0;
  const uint64_t kept = region_->size() / 4 + (maps ? kReadRoom : 0);
  const size_t most = kMostEntries - (maps ? kReadEntries : 0);
  if (asker.entries_.size() >= most || region_->free_bytes() < kept ||
      change.size > region_->free_bytes() - kept) {
    return Status(ENOSPC, "the host region has no room for a file of a mount");
  }
  return region_->ReserveContent(change.size);
}

bool Mounts::Send(Order order) {
  if (!ipc::Send(service_.socket.get(), order.payload).ok()) return false;
  orders_.push_back(std::move(order));
  return true;
}

bool Mounts::OnRelease(MountAsker* asker, uint32_t entry) {
  if (asker->entries_.erase(entry) == 0) return false;
  region_->Release(entry);
  return true;
}

void Mounts::OnClose(MountAsker* asker, uint32_t handle) {
  if (asker->handles_.erase(handle) != 0) Close(handle);
}

void Mounts::Close(uint32_t handle) {
  closing_.push_back(handle);
  SendCloses();
}

void Mounts::SendCloses() {
  while (!closing_.empty() && orders_.size() < kMostCloses && service_.socket.ok()) {
    abi::MountChange change{};
    change.op = MountOp::kClose;
    change.handle = closing_.back();
    const std::span<const uint8_t> bytes = ipc::Bytes(change);
    // A full socket: after the next answer. A service that is gone has nothing open; OnService()
    // sees that.
    if (!Send({nullptr, change, {bytes.begin(), bytes.end()}, {}, {}})) return;
    closing_.pop_back();
  }
}

void Mounts::Leave(MountAsker* asker) {
  for (Order& order : orders_) {
    if (order.asker != asker) continue;
    order.asker = nullptr;
    order.content.Discard();  // the answer may take as long as a disk hangs
  }
  for (const uint32_t entry : asker->entries_) region_->Release(entry);
  for (const uint32_t handle : asker->handles_) Close(handle);
  asker->entries_.clear();
  asker->handles_.clear();
}

void Mounts::OnService() {
  Result<ipc::Message> message = ipc::Receive(service_.socket.get());
  if (message.status().code() == EAGAIN) return;
  Result<MountAnswer> answer =
      message.ok() ? MountAnswer::Unpack(message->bytes) : message.status();
  if (!answer.ok() || orders_.empty()) return OnServiceEnd();
  Order order = std::move(orders_.front());
  orders_.pop_front();
  SendCloses();
  const uint32_t handle = answer->done.handle;
  if (order.asker == nullptr) {
    if (handle != abi::kNoHandle) Close(handle);
    return;
  }
  if (handle != abi::kNoHandle) order.asker->handles_.insert(handle);
  if (GivesContent(order.change.op) && answer->done.error != 0) {
    return Fail(order, answer->done.error);
  }
  if (!GivesContent(order.change.op)) {
    order.asker->answer_ = std::move(message->bytes);
    return;
  }
  if (!TakePiece(&order, *answer)) return EndRead(&order);
  if (!ipc::Send(service_.socket.get(), order.payload).ok()) return Fail(order, EIO);
  orders_.push_back(std::move(order));
}

void Mounts::Fail(const Order& order, int error) {
  // What was opened for nothing: the guest will never know it.
  if (order.first) OnClose(order.asker, order.first->done.handle);
  order.asker->answer_ = ErrorAnswer(error);
}

bool Mounts::TakePiece(Order* order, const MountAnswer& answer) {
  BodyCursor& content = order->content;
  if (!order->first) order->first = answer;
  if (!content.ok()) return false;
  abi::MountChange& change = order->change;
  const uint64_t wanted = std::min<uint64_t>(change.size, service_.buffer.size());
  const uint64_t piece = std::min(answer.done.size, wanted);
  std::memcpy(content.data() + content.size(), service_.buffer.data(), piece);
  content.Advance(piece);
  if (change.op == MountOp::kOpen) change.handle = answer.done.handle;
  change.op = MountOp::kRead;
  change.position += piece;
  change.size -= piece;
  change.path_size = change.text_size = 0;
  order->payload.assign(ipc::Bytes(change).begin(), ipc::Bytes(change).end());
  return piece == wanted && change.size != 0;
}

void Mounts::EndRead(Order* order) {
  MountAnswer& answer = *order->first;
  answer.done.entry = abi::kNoEntry;
  answer.done.size = 0;
  if (order->content.ok() && order->content.size() != 0) {
    const Result<PublishedBody> body = order->content.Publish();
    if (body.ok()) {
      answer.done.entry = body->entry;
      answer.done.offset = body->offset;
      answer.done.size = body->size;
      order->asker->entries_.insert(body->entry);
    } else {
      return Fail(*order, ENOSPC);
    }
  }
  order->asker->answer_ = answer.Pack();
}

void Mounts::OnServiceEnd() {
  std::fprintf(stderr, "usetl-proxy: the mount service of a container has ended\n");
  service_.socket.Reset();
  for (const Order& order : orders_) {
    if (order.asker != nullptr) order.asker->answer_ = ErrorAnswer(EIO);
  }
  orders_.clear();
  closing_.clear();
}

void Mounts::Answer(MountAsker* asker, const Post& post) {
  if (!asker->asked_ || !asker->answer_ || !post(*asker->asked_, *asker->answer_)) return;
  asker->asked_.reset();
  asker->answer_.reset();
}

bool Mounts::Finish(const MountAsker& asker, std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (asker.asked_ && !asker.answer_ && service_.socket.ok()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd fd{service_.socket.get(), POLLIN, 0};
    if (left.count() <= 0 || poll(&fd, 1, static_cast<int>(left.count())) <= 0) return false;
    OnService();
  }
  return true;
}

}  // namespace usetl::pod
