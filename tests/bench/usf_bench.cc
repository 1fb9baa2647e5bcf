// usf_bench.cc: times the path of a USF against a running node: claim, load, invoke, rollback.
//
//   usf_bench NODE_DIRECTORY ROUNDS FUNCTION.py [FUNCTION.pyc]      prints JSON: samples in us
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "vmm/cli/node.h"
#include "vmm/proxy/worker/usf_link.h"

namespace usetl {
namespace {

using Clock = std::chrono::steady_clock;

double MicrosecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

std::string ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "usf_bench: %s\n", why.c_str());
  std::exit(1);
}

// Waits for a record of `type`; the first byte of output stops the clock of `first_output`.
std::string WaitFor(UsfLink* link, abi::RecordType type, Clock::time_point begin,
                    double* first_output) {
  for (;;) {
    char output[4096];
    if (link->TakeOutput(output, sizeof output) > 0 && first_output != nullptr &&
        *first_output == 0) {
      *first_output = MicrosecondsSince(begin);
    }
    abi::RecordHeader header;
    std::span<const uint8_t> payload;
    const abi::RingRead read = link->Take(&header, &payload);
    if (read == abi::RingRead::kBroken) Die("the guest broke its ring");
    if (read == abi::RingRead::kRecord) {
      if (header.type != static_cast<uint16_t>(type)) Die("an unexpected record");
      return std::string(payload.begin(), payload.end());
    }
    if (!link->PrepareWait()) continue;
    pollfd fds[2] = {{link->event_fd(), POLLIN, 0}, {link->vmmd_fd(), POLLIN, 0}};
    if (poll(fds, 2, 10'000) <= 0) Die("the function does not answer");
    link->EndWait();
    if (fds[1].revents != 0) Die("the function ended");
  }
}

int Main(int argc, char** argv) {
  if (argc < 4) Die("usage: usf_bench NODE_DIRECTORY ROUNDS FUNCTION.py [FUNCTION.pyc]");
  const int rounds = std::atoi(argv[2]);
  const std::string source = ReadFile(argv[3]);
  const std::string compiled = argc > 4 ? ReadFile(argv[4]) : "";
  nlohmann::json samples = {{"first_line", nlohmann::json::array()},
                            {"invoke", nlohmann::json::array()},
                            {"rollback", nlohmann::json::array()}};
  constexpr int kInvokes = 20;
  for (int round = 0; round < rounds; ++round) {
    Result<Fd> vmmd = ipc::Connect(VmmdSocket(argv[1]));
    if (!vmmd.ok()) Die(vmmd.status().message());
    const int socket = vmmd->get();
    pool::ClaimRequest claim{};
    claim.request = pool::Request::kClaim;
    claim.wait_ms = 10'000;
    std::strcpy(claim.runtime, "python3.11");
    std::strcpy(claim.tenant, "bench");

    const auto begin = Clock::now();
    Result<std::unique_ptr<UsfLink>> link = UsfLink::Claim(std::move(*vmmd), claim);
    if (!link.ok()) Die(link.status().message());
    UsfLink* usf = link->get();
    if (!usf->region().AddFile("/function/f.py", AsBytes(source), 0644).ok()) Die("no room");
    std::string load = R"({"path":"/function/f.py","mode":"handler","handler":"handler")";
    if (!compiled.empty()) {
      if (!usf->region().AddFile("/function/f.pyc", AsBytes(compiled), 0644).ok()) Die("no room");
      load += R"(,"code":"/function/f.pyc")";
    }
    load += "}";
    double first = 0;
    usf->Post(abi::RecordType::kLoad, 1, AsBytes(load));
    const std::string loaded = WaitFor(usf, abi::RecordType::kLoaded, begin, nullptr);
    if (loaded.find("\"ok\":true") == std::string::npos) Die(loaded);
    const std::string event = R"({"event":{"n":1,"text":"hello"},"context":{}})";
    usf->Post(abi::RecordType::kInvoke, 2, AsBytes(event));
    WaitFor(usf, abi::RecordType::kResult, begin, &first);
    samples["first_line"].push_back(first);
    for (int i = 0; i < kInvokes; ++i) {
      const auto start = Clock::now();
      usf->Post(abi::RecordType::kInvoke, 3, AsBytes(event));
      WaitFor(usf, abi::RecordType::kResult, start, nullptr);
      samples["invoke"].push_back(MicrosecondsSince(start));
    }
    const pool::PlainRequest release{pool::Request::kRelease, 0};
    if (!ipc::Send(socket, ipc::Bytes(release)).ok()) Die("release");
    Result<ipc::Message> message = usf->ReceiveFromVmmd();
    pool::ReplyRecord reply;
    if (!message.ok() || message->bytes.size() < sizeof reply) Die("no answer to the release");
    std::memcpy(&reply, message->bytes.data(), sizeof reply);
    samples["rollback"].push_back(reply.rollback_ns / 1e3);
  }
  std::printf("%s\n", samples.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace usetl

int main(int argc, char** argv) { return usetl::Main(argc, argv); }
