// worker_counts.h: what the workers of containers have counted (vmm/proxy/pod/counts.h), added up.
#ifndef USETL_CRI_METRICS_WORKER_COUNTS_H_
#define USETL_CRI_METRICS_WORKER_COUNTS_H_

#include <map>
#include <mutex>
#include <string>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/pod/counts.h"

namespace usetl::cri {

// Thread-safe.
class WorkerCounts {
 public:
  WorkerCounts() = default;
  ~WorkerCounts();
  WorkerCounts(const WorkerCounts&) = delete;
  WorkerCounts& operator=(const WorkerCounts&) = delete;

  // A page for the container, which is read from here on. Its size is sealed: what the worker does
  // to it is wrong numbers at worst.
  Result<Fd> Open(const std::string& container);
  // The worker is gone; what it counted stays in the sum. Without a page nothing happens.
  void Close(const std::string& container);
  // Of all containers since this usetld began.
  pod::Counts Sum() const;

 private:
  static void Add(const uint64_t* page, pod::Counts* sum);

  mutable std::mutex mutex_;
  std::map<std::string, uint64_t*> pages_;
  pod::Counts closed_{};
};

}  // namespace usetl::cri

#endif  // USETL_CRI_METRICS_WORKER_COUNTS_H_
