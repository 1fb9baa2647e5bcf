// usf_bench.cc: times the path of a USF against a running node: claim, load, invoke, rollback.
//
//   usf_bench VMMD_SOCKET ROUNDS FUNCTION.py [FUNCTION.pyc]      prints JSON: samples in us
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/bench/usf_client.h"

namespace usetl::bench {
namespace {

constexpr int kInvokes = 20;  // further events of a loaded USF

int Main(int argc, char** argv) {
  if (argc < 4) Die("usage: usf_bench VMMD_SOCKET ROUNDS FUNCTION.py [FUNCTION.pyc]");
  const Function function{ReadFile(argv[3]), argc > 4 ? ReadFile(argv[4]) : ""};
  nlohmann::json samples;
  for (int round = std::atoi(argv[2]); round > 0; --round) {
    UsfClient usf = UsfClient::Claim(argv[1], "bench");
    usf.Load(function);
    usf.Invoke();
    samples["first_line"].push_back(usf.first_output());
    for (int i = 0; i < kInvokes; ++i) samples["invoke"].push_back(usf.Invoke());
    samples["rollback"].push_back(usf.Release());
  }
  std::printf("%s\n", samples.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace usetl::bench

int main(int argc, char** argv) { return usetl::bench::Main(argc, argv); }
