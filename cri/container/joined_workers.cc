#include "cri/container/joined_workers.h"

#include <utility>

namespace usetl::cri {

void JoinedWorkers::Keep(const std::string& container, Worker worker) {
  const std::lock_guard lock(mutex_);
  workers_.insert_or_assign(container, std::move(worker));
}

std::optional<Worker> JoinedWorkers::Take(const std::string& container) {
  const std::lock_guard lock(mutex_);
  auto found = workers_.extract(container);
  if (found.empty() || !found.mapped().Waits()) return std::nullopt;
  return std::move(found.mapped());
}

}  // namespace usetl::cri
