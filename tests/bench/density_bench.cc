// density_bench.cc: many USFs ready at once, then each claimed by a tenant of its own.
//
//   density_bench SOCKET RUNTIMES PROGRAMS COUNT FUNCTION.py
//
// Prints `idle N` while the pool fills. When all are ready, or after a line on standard input,
// every ready USF is claimed, loaded and invoked; all stay claimed. Prints JSON; another line ends
// it.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/bench/usf_client.h"
#include "vmm/vmmd/daemon.h"

namespace usetl::bench {
namespace {

using nlohmann::json;

// A node that makes `count` USFs and no more: none takes the place of one that is claimed.
pid_t ForkVmmd(char** argv, uint32_t count) {
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  VmmdOptions options;
  options.socket = argv[1];
  options.runtimes = argv[2];
  options.runtime = "python3.11";
  options.kernel = std::string(argv[3]) + "/usetl-kernel.elf";
  options.usf.program = std::string(argv[3]) + "/usetl-usf";
  options.pool.size = options.pool.most = count;
  Result<std::unique_ptr<Vmmd>> daemon = Vmmd::Create(options);
  if (!daemon.ok()) Die(daemon.status().message());
  const Status status = (*daemon)->Run();
  daemon->reset();
  if (!status.ok()) Die(status.message());
  std::exit(0);
}

json Inspect(const std::string& socket) {
  Result<Fd> vmmd = ipc::Connect(socket);
  if (!vmmd.ok()) return json{{"idle", 0}};  // not up yet
  const pool::PlainRequest request{pool::Request::kInspect, 0};
  if (!ipc::Send(vmmd->get(), ipc::Bytes(request)).ok()) Die("cannot ask usetl-vmmd");
  Result<ipc::Message> message = ipc::Receive(vmmd->get());
  if (!message.ok()) Die(message.status().message());
  const json state = json::parse(message->bytes.begin() + sizeof(pool::ReplyRecord),
                                 message->bytes.end(), nullptr, false);
  if (!state.is_object()) Die("usetl-vmmd: the answer is no JSON");
  return state;
}

void WaitForLine() {
  for (int c; (c = std::getchar()) != '\n';) {
    if (c == EOF) std::exit(1);  // whoever started this has left
  }
}

// Fills the pool; how many are ready in the end.
uint32_t Fill(const std::string& socket, uint32_t count, pid_t vmmd) {
  constexpr int kPatience = 100;  // looks without a new one
  uint32_t ready = 0;
  for (int unchanged = 0; ready < count && unchanged < kPatience; ++unchanged) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    if (waitpid(vmmd, nullptr, WNOHANG) == vmmd) Die("usetl-vmmd ended");
    const uint32_t now = Inspect(socket)["idle"];
    if (now > ready) unchanged = 0;
    ready = now;
    std::printf("idle %u\n", ready);
    std::fflush(stdout);
  }
  return ready;
}

int Main(int argc, char** argv) {
  if (argc != 6) Die("usage: density_bench SOCKET RUNTIMES PROGRAMS COUNT FUNCTION.py");
  const Function function{ReadFile(argv[5]), ""};
  const auto count = static_cast<uint32_t>(std::atoi(argv[4]));
  const pid_t vmmd = ForkVmmd(argv, count);
  const auto begin = Clock::now();
  const uint32_t ready = Fill(argv[1], count, vmmd);
  json result = {{"ready", ready}, {"fill_us", MicrosecondsSince(begin)}};
  std::printf("ready %u\n", ready);
  std::fflush(stdout);
  WaitForLine();
  std::vector<UsfClient> tenants;
  for (uint32_t i = 0; i < ready; ++i) {
    tenants.push_back(UsfClient::Claim(argv[1], "tenant-" + std::to_string(i)));
    tenants.back().Load(function);
    tenants.back().Invoke();
    result["first_answer"].push_back(tenants.back().first_output());
  }
  // Once more when all are taken: they live side by side.
  for (UsfClient& tenant : tenants) result["invoke"].push_back(tenant.Invoke());
  result["claimed"] = Inspect(argv[1])["claimed"];
  std::printf("%s\n", result.dump().c_str());
  std::fflush(stdout);
  WaitForLine();
  tenants.clear();
  kill(vmmd, SIGTERM);
  waitpid(vmmd, nullptr, 0);
  return 0;
}

}  // namespace
}  // namespace usetl::bench

int main(int argc, char** argv) { return usetl::bench::Main(argc, argv); }
