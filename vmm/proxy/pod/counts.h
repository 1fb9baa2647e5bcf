// counts.h: what the worker of a container counts, and the page by which it tells usetld.
//
// usetld makes the page (a sealed memfd), gives it with kCount and reads it when somebody asks for
// metrics: no message and no system call for what is counted. The worker alone writes it. A usetld
// that was started anew gives a page of its own, whose numbers begin at zero.
#ifndef USETL_VMM_PROXY_POD_COUNTS_H_
#define USETL_VMM_PROXY_POD_COUNTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/gateway/counters.h"

namespace usetl::pod {

// Places in the page. They are part of the protocol: new ones go to the end.
enum Count : uint32_t {
  kRequests,  // of the ports, handed to the function
  kRequestsCancelled,
  kRequestsMalformed,
  kConnections,
  kConnectionsRefused,
  kBytesReceived,
  kBytesSent,
  kRequestMicroseconds,  // sum of kRequestTimes
  kEtlRequests,
  kEtlBytesReceived,
  kEtlBytesSent,
  kEtlDenied,
  kEtlErrors,
  kLinesLost,  // of the log
  kAnswers,    // by class of status: 0 is broken off, 2 is 2xx
  kRequestTimes = kAnswers + std::tuple_size_v<decltype(gateway::Counters::status_class)>,
  kCountEnd = kRequestTimes + std::tuple_size_v<decltype(gateway::Counters::durations)>,
};

using Counts = std::array<uint64_t, kCountEnd>;
inline constexpr size_t kCountsSize = 4096;  // of the page
static_assert(sizeof(Counts) <= kCountsSize);

// The worker's end. Single-threaded.
class CountsPage {
 public:
  CountsPage() = default;
  ~CountsPage();
  CountsPage(const CountsPage&) = delete;
  CountsPage& operator=(const CountsPage&) = delete;

  // The first page gets all that was counted, a later one what is counted from `now` on. EPROTO
  // when `file` is none.
  Status Take(const Fd& file, const Counts& now);
  bool wanted() const { return page_ != nullptr; }
  void Publish(const Counts& now);

 private:
  uint64_t* page_ = nullptr;
  Counts base_{};
  bool later_ = false;
};

// One number of a page that another process may be writing. (std::atomic_ref takes nothing const.)
inline uint64_t ReadCount(const uint64_t* page, uint32_t count) {
  return __atomic_load_n(page + count, __ATOMIC_RELAXED);
}

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_COUNTS_H_
