// names.h: reservation of names: one pod, one container of a name and attempt at a time.
#ifndef USETL_CRI_STORE_NAMES_H_
#define USETL_CRI_STORE_NAMES_H_

#include <map>
#include <mutex>
#include <string>

#include "vmm/base/status.h"

namespace usetl::cri {

// Thread-safe.
class Names {
 public:
  // Reserves `name` for `id`; EEXIST when another has it. The same id may reserve again.
  Status Reserve(const std::string& name, const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto [at, inserted] = names_.emplace(name, id);
    if (inserted || at->second == id) return Status();
    return Status(EEXIST, "name \"" + name + "\" is reserved for " + at->second);
  }
  void Release(const std::string& name) {
    const std::lock_guard lock(mutex_);
    names_.erase(name);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> names_;
};

// Gives a name back unless the verb came to its end.
class NameGuard {
 public:
  NameGuard(Names* names, std::string name) : names_(names), name_(std::move(name)) {}
  ~NameGuard() {
    if (names_ != nullptr) names_->Release(name_);
  }
  NameGuard(const NameGuard&) = delete;
  NameGuard& operator=(const NameGuard&) = delete;
  void Keep() { names_ = nullptr; }

 private:
  Names* names_;
  const std::string name_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_STORE_NAMES_H_
