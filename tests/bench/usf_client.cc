#include "tests/bench/usf_client.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace usetl::bench {
namespace {

std::span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

double MicrosecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

std::string ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Die(std::string(path) + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

void Die(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

UsfClient UsfClient::Claim(const std::string& socket, const std::string& tenant) {
  Result<Fd> vmmd = ipc::Connect(socket);
  if (!vmmd.ok()) Die(vmmd.status().message());
  return Claim(std::move(*vmmd), tenant, Clock::now());
}

UsfClient UsfClient::Claim(Fd vmmd, const std::string& tenant, Clock::time_point begin) {
  pool::ClaimRequest claim{};
  claim.request = pool::Request::kClaim;
  claim.wait_ms = 10'000;
  std::strcpy(claim.runtime, "python3.11");
  std::snprintf(claim.tenant, sizeof claim.tenant, "%s", tenant.c_str());
  UsfClient client;
  client.begin_ = begin;
  Result<std::unique_ptr<UsfLink>> link = UsfLink::Claim(std::move(vmmd), claim);
  if (!link.ok()) Die(link.status().message());
  client.link_ = std::move(*link);
  return client;
}

// Waits for a record of `type`. The first byte of output stops the clock of first_output().
std::string UsfClient::WaitFor(abi::RecordType type) {
  for (;;) {
    char output[4096];
    if (link_->TakeOutput(output, sizeof output) > 0 && first_output_ == 0) {
      first_output_ = MicrosecondsSince(begin_);
    }
    abi::RecordHeader header;
    std::span<const uint8_t> payload;
    const abi::RingRead read = link_->Take(&header, &payload);
    if (read == abi::RingRead::kBroken) Die("the guest broke its ring");
    if (read == abi::RingRead::kRecord) {
      if (header.type != static_cast<uint16_t>(type)) Die("an unexpected record");
      std::string text(payload.begin(), payload.end());
      if (text.find("\"ok\":true") == std::string::npos) Die(text);
      return text;
    }
    if (!link_->PrepareWait()) continue;
    pollfd fds[2] = {{link_->event_fd(), POLLIN, 0}, {link_->vmmd_fd(), POLLIN, 0}};
    if (poll(fds, 2, 10'000) <= 0) Die("the function does not answer");
    link_->EndWait(fds[0].revents != 0);
    if (fds[1].revents != 0) Die("the function ended");
  }
}

void UsfClient::Load(const Function& function) {
  HostRegion& region = link_->region();
  if (!region.AddFile("/function/f.py", AsBytes(function.source), 0644).ok()) Die("no room");
  std::string load = R"({"path":"/function/f.py","mode":"handler","handler":"handler")";
  if (!function.compiled.empty()) {
    if (!region.AddFile("/function/f.pyc", AsBytes(function.compiled), 0644).ok()) Die("no room");
    load += R"(,"code":"/function/f.pyc")";
  }
  load += "}";
  if (!link_->Post(abi::RecordType::kLoad, 1, AsBytes(load))) Die("the ring is full");
  WaitFor(abi::RecordType::kLoaded);
}

double UsfClient::Invoke() {
  static const std::string kEvent = R"({"event":{"n":1,"text":"hello"},"context":{}})";
  const auto begin = Clock::now();
  if (!link_->Post(abi::RecordType::kInvoke, 2, AsBytes(kEvent))) Die("the ring is full");
  WaitFor(abi::RecordType::kResult);
  return MicrosecondsSince(begin);
}

double UsfClient::Release() {
  const pool::PlainRequest release{pool::Request::kRelease, 0};
  if (!ipc::Send(link_->vmmd_fd(), ipc::Bytes(release)).ok()) Die("cannot release a USF");
  Result<ipc::Message> message = link_->ReceiveFromVmmd();
  pool::ReplyRecord reply;
  if (!message.ok() || message->bytes.size() < sizeof reply) Die("no answer to the release");
  std::memcpy(&reply, message->bytes.data(), sizeof reply);
  if (reply.reply != pool::Reply::kReleased) Die("the USF was not released");
  return reply.rollback_ns / 1e3;
}

}  // namespace usetl::bench
