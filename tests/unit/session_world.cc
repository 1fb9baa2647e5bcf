#include "tests/unit/session_world.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "vmm/abi/file_table.h"
#include "vmm/ipc/socket.h"
#include "vmm/pool/protocol.h"
#include "vmm/proxy/worker/session.h"

namespace usetl::test {
namespace {

constexpr uint64_t kHostRegionSize = 1 << 20;

void Require(bool condition) {
  if (!condition) std::abort();
}

Fd Memory(uint64_t size) {
  Fd fd(memfd_create("session-test", MFD_CLOEXEC));
  Require(fd.ok() && ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  return fd;
}

Mapping Map(const Fd& fd, uint64_t size) {
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  Require(at != MAP_FAILED);
  return Mapping(at, size);
}

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

SessionWorld::SessionWorld()
    : control_fd_(Memory(abi::kControl.size)),
      host_region_fd_(Memory(kHostRegionSize)),
      guest_region_fd_(Memory(kGuestRegionSize)),
      host_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      guest_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      control_(Map(control_fd_, abi::kControl.size)),
      guest_region_(Map(guest_region_fd_, kGuestRegionSize)) {
  uint8_t* at = control_.data();
  auto& host = *reinterpret_cast<abi::HostPage*>(at + abi::kHostPageOffset);
  to_host = abi::RingProducer(&guest_page().to_host, &host.to_host, at + abi::kToHostOffset,
                              abi::kToHostSize);
  output = abi::RingProducer(&guest_page().output, &host.output, at + abi::kOutputOffset,
                             abi::kOutputSize);
}

abi::GuestPage& SessionWorld::guest_page() {
  return *reinterpret_cast<abi::GuestPage*>(control_.data() + abi::kGuestPageOffset);
}

void SessionWorld::Put(abi::RecordType type, uint64_t id, std::string_view payload) {
  to_host.Put(static_cast<uint16_t>(type), id, payload.data(),
              static_cast<uint32_t>(payload.size()));
}

void SessionWorld::Print(uint16_t stream, std::string_view text) {
  const abi::OutputFrame frame{stream, static_cast<uint16_t>(text.size())};
  std::string bytes(reinterpret_cast<const char*>(&frame), sizeof frame);
  bytes.append(text);
  if (output.Free() < bytes.size()) return;
  output.PutBytes(bytes.data(), static_cast<uint32_t>(bytes.size()));
}

void SessionWorld::PutFile(std::string_view content) {
  uint8_t* base = guest_region_.data();
  auto* table = reinterpret_cast<abi::FileTable*>(base);
  constexpr uint64_t kData = 2 * abi::kPageSize;
  Require(kData + content.size() <= kGuestRegionSize);
  table->magic = abi::kFileTableMagic;
  table->data_base = abi::kPageSize;
  table->used = 1;
  std::memcpy(base + abi::kPageSize, "value", 5);
  std::memcpy(base + kData, content.data(), content.size());
  abi::FileEntry& entry = table->entries[0];
  entry = {};
  entry.type = abi::FileType::kRegular;
  entry.size = content.size();
  entry.offset = kData;
  entry.capacity = (content.size() + abi::kPageSize - 1) / abi::kPageSize * abi::kPageSize;
  entry.name_offset = abi::kPageSize;
  entry.name_size = 5;
}

std::vector<ToldMessage> SessionWorld::Run(std::string_view request, const Meanwhile& meanwhile) {
  auto client = ipc::Pair();
  auto vmmd = ipc::Pair();
  Require(client.ok() && vmmd.ok());
  const Fd code = Memory(0);
  Require(write(code.get(), function.data(), function.size()) ==
              static_cast<ssize_t>(function.size()) &&
          lseek(code.get(), 0, SEEK_SET) == 0);
  const int files[] = {code.get()};
  Require(ipc::Send(client->first.get(), Bytes(request), {}, files).ok());
  pool::ReplyRecord reply{};
  reply.reply = pool::Reply::kClaimed;
  reply.host_region_size = kHostRegionSize;
  reply.guest_region_size = kGuestRegionSize;
  const int fds[] = {control_fd_.get(), host_region_fd_.get(), guest_region_fd_.get(),
                     host_event_.get(), guest_event_.get()};
  Require(ipc::Send(vmmd->first.get(), ipc::Bytes(reply), {}, fds).ok());
  if (client_leaves) client->first.Reset();

  std::vector<ToldMessage> told;
  std::atomic<bool> over = false;
  const auto read_all = [&] {
    for (;;) {
      Result<ipc::Message> message = ipc::Receive(client->first.get());
      if (!message.ok()) return;
      ToldMessage one{};
      Require(message->bytes.size() >= sizeof one.header);
      std::memcpy(&one.header, message->bytes.data(), sizeof one.header);
      one.text.assign(message->bytes.begin() + sizeof one.header, message->bytes.end());
      told.push_back(std::move(one));
    }
  };
  std::thread reader, guest;
  if (client_reads && client->first.ok()) reader = std::thread(read_all);
  if (meanwhile) guest = std::thread([&] { meanwhile([&] { return over.load(); }); });
  Session(std::move(client->second), std::move(vmmd->second), {}).Run();
  over = true;
  if (guest.joinable()) guest.join();
  if (reader.joinable()) reader.join();
  return told;
}

ToldMessage First(const std::vector<ToldMessage>& messages, run::Type type) {
  for (const ToldMessage& message : messages) {
    if (message.header.type == type) return message;
  }
  return {{type, 0}, "none"};
}

}  // namespace usetl::test
