// namespaces.h: network namespaces of pods.
//
// Making one costs milliseconds of kernel time, so a few wait ready, made by a thread of their own;
// they belong to no pod and know no address.
#ifndef USETL_CRI_NETWORK_NAMESPACES_H_
#define USETL_CRI_NETWORK_NAMESPACES_H_

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::cri {

// Thread-safe.
class Namespaces {
 public:
  // Paths are made in `directory` (as a rule /var/run/netns, where other tools look for them).
  Namespaces(std::string directory, size_t ready);
  ~Namespaces();
  Namespaces(const Namespaces&) = delete;
  Namespaces& operator=(const Namespaces&) = delete;

  // Where the namespace for `id` gets its path.
  std::string PathFor(const std::string& id) const;
  // A new namespace at PathFor(id); loopback is up, any port may be bound without privileges.
  Result<std::string> Create(const std::string& id);
  // Takes the path away; the namespace ends with its last user. One that is gone is fine.
  static Status Remove(const std::string& path);
  static Result<Fd> Open(const std::string& path);
  // Runs `use` in a thread of its own within the namespace.
  template <typename Use>
  static Status Within(const Fd& network_namespace, Use use);

 private:
  void Refill();

  const std::string directory_;
  const size_t wanted_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Fd> ready_;
  bool ending_ = false;
  std::thread refill_;
};

// Enters it with the calling thread, which can then only end.
Status EnterNetwork(int network_namespace);

template <typename Use>
Status Namespaces::Within(const Fd& network_namespace, Use use) {
  Status status;
  std::thread([&] {
    status = EnterNetwork(network_namespace.get());
    if (status.ok()) status = use();
  }).join();
  return status;
}

}  // namespace usetl::cri

#endif  // USETL_CRI_NETWORK_NAMESPACES_H_
