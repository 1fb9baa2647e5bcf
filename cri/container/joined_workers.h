// joined_workers.h: workers that have joined their pods before their containers are started.
//
// A start that finds one does not wait until a process has woken up, entered network and cgroups
// and given up its privileges.
#ifndef USETL_CRI_CONTAINER_JOINED_WORKERS_H_
#define USETL_CRI_CONTAINER_JOINED_WORKERS_H_

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "cri/container/worker.h"

namespace usetl::cri {

// Thread-safe. Who lets one go ends it.
class JoinedWorkers {
 public:
  void Keep(const std::string& container, Worker worker);
  // None: there never was one, or it has ended since.
  std::optional<Worker> Take(const std::string& container);

 private:
  std::mutex mutex_;
  std::map<std::string, Worker> workers_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_JOINED_WORKERS_H_
