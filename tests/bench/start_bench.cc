// start_bench.cc: a USF made on demand: from nothing but the runtime's snapshot to the first line.
//
//   start_bench RUNTIMES PROGRAMS ROUNDS FUNCTION.py      prints JSON: samples in us
//
// The part of usetl-vmmd is played here, so that the clock starts when the process is launched, not
// when a refill of the pool happens to begin.
#include <fcntl.h>
#include <poll.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/bench/usf_client.h"
#include "vmm/pool/usf_handle.h"
#include "vmm/vmmd/environment.h"

namespace usetl::bench {
namespace {

template <typename T>
T Take(Result<T> result) {
  if (!result.ok()) Die(result.status().message());
  return std::move(*result);
}

// Launches a USF and waits until it says that it is ready.
UsfHandle MakeUsf(const UsfOptions& options, const Runtime& runtime, uint32_t number) {
  UsfHandle usf = Take(UsfHandle::Launch(options, runtime, number));
  pollfd ready{usf.socket(), POLLIN, 0};  // it never blocks, for vmmd's sake
  if (poll(&ready, 1, 10'000) != 1) Die("a USF does not become ready");
  const ipc::Message message = Take(ipc::Receive(usf.socket()));
  usf::EventRecord event;
  if (message.bytes.size() < sizeof event) Die("a USF died while it was prepared");
  std::memcpy(&event, message.bytes.data(), sizeof event);
  if (event.event != usf::Event::kReady) {
    Die(std::string(message.bytes.begin() + sizeof event, message.bytes.end()));
  }
  return usf;
}

// The answer of vmmd to a claim, waiting in a socket of its own.
Fd ClaimOf(const UsfHandle& usf, const UsfOptions& options, Fd* vmmd_end) {
  auto [ours, theirs] = Take(ipc::Pair());
  pool::ReplyRecord reply{};
  reply.reply = pool::Reply::kClaimed;
  reply.usf = usf.number();
  reply.host_region_size = options.host_region_size;
  reply.guest_region_size = options.guest_region_size;
  reply.huge_pages = 1;
  const std::vector<int> fds = {usf.control.get(), usf.host_region.get(), usf.guest_region.get(),
                                usf.host_event.get(), usf.guest_event.get()};
  const Status sent = ipc::Send(ours.get(), ipc::Bytes(reply), {}, fds);
  if (!sent.ok()) Die(sent.message());
  *vmmd_end = std::move(ours);
  return std::move(theirs);
}

int Main(int argc, char** argv) {
  if (argc != 5) Die("usage: start_bench RUNTIMES PROGRAMS ROUNDS FUNCTION.py");
  const std::string programs = argv[2];
  const Function function{ReadFile(argv[4]), ""};
  const Runtime runtime = Take(OpenRuntime(argv[1], "python3.11", programs + "/usetl-kernel.elf"));
  const Fd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm.ok()) Die("/dev/kvm cannot be opened; usetl doctor says what to do");
  const Fd root = Take(MakeEmptyRoot()), network = Take(MakeEmptyNetwork());
  UsfOptions options;
  options.program = programs + "/usetl-usf";
  options.kvm_fd = kvm.get();
  options.empty_root_fd = root.get();
  options.network_fd = network.get();
  nlohmann::json samples;
  for (int round = 1; round <= std::atoi(argv[3]); ++round) {
    const auto begin = Clock::now();
    const UsfHandle usf = MakeUsf(options, runtime, round);
    samples["ready"].push_back(MicrosecondsSince(begin));
    Fd vmmd_end;
    UsfClient client = UsfClient::Claim(ClaimOf(usf, options, &vmmd_end), "bench", begin);
    client.Load(function);
    client.Invoke();
    samples["first_line"].push_back(client.first_output());
  }
  std::printf("%s\n", samples.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace usetl::bench

int main(int argc, char** argv) { return usetl::bench::Main(argc, argv); }
