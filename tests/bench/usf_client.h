// usf_client.h: a tenant as the benchmarks need it: claims a USF from usetl-vmmd, loads, invokes.
//
// Whatever fails ends the program with one line: a benchmark has nothing to save.
#ifndef USETL_TESTS_BENCH_USF_CLIENT_H_
#define USETL_TESTS_BENCH_USF_CLIENT_H_

#include <chrono>
#include <memory>
#include <string>

#include "vmm/proxy/worker/usf_link.h"

namespace usetl::bench {

using Clock = std::chrono::steady_clock;

double MicrosecondsSince(Clock::time_point begin);
std::string ReadFile(const char* path);
[[noreturn]] void Die(const std::string& why);

// A function to load; `compiled` is its .pyc or empty.
struct Function {
  std::string source;
  std::string compiled;
};

class UsfClient {
 public:
  // Connects to vmmd's socket. Times count from before the claim.
  static UsfClient Claim(const std::string& socket, const std::string& tenant);
  // `vmmd` answers one claim; times count from `begin`.
  static UsfClient Claim(Fd vmmd, const std::string& tenant, Clock::time_point begin);

  void Load(const Function& function);
  // One event; how long it took, in us.
  double Invoke();
  // From the beginning of the claim to the first byte that the function printed, in us.
  double first_output() const { return first_output_; }
  // Gives the USF back; how long its rollback took, in us.
  double Release();

 private:
  UsfClient() = default;
  std::string WaitFor(abi::RecordType type);

  Clock::time_point begin_;
  std::unique_ptr<UsfLink> link_;
  double first_output_ = 0;
};

}  // namespace usetl::bench

#endif  // USETL_TESTS_BENCH_USF_CLIENT_H_
