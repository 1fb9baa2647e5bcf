// admission_resources.cc: limits that a container or a pod cannot have.
#include <string>

#include "cri/server/admission.h"
#include "vmm/abi/layout.h"

namespace usetl::cri {
namespace {

std::optional<Refusal> Refuse(const std::string& text) {
  return Refusal{"resources", "usetl: " + text};
}

}  // namespace

std::optional<Refusal> AdmitResources(const v1::LinuxContainerResources& resources) {
  // Runtimes are baked with this size; usetl-vmmd knows better of one that was not.
  constexpr int64_t kLeast = abi::kRamAtBirth;
  const int64_t memory = resources.memory_limit_in_bytes();
  if (memory < 0) return Refuse("a memory limit of " + std::to_string(memory) + " bytes is none");
  if (memory > 0 && memory < kLeast) {
    const std::string least = std::to_string(kLeast >> 20);
    return Refuse("a memory limit of " + std::to_string(memory) + " bytes is less than the " +
                  least + " MB that a function takes; give " + least + "Mi or more");
  }
  return std::nullopt;
}

}  // namespace usetl::cri
