// admission_resources.cc: limits that a container or a pod cannot have.
#include <algorithm>
#include <charconv>
#include <string>

#include "cri/server/admission.h"
#include "vmm/abi/layout.h"
#include "vmm/base/oom_score.h"

namespace usetl::cri {
namespace {

std::optional<Refusal> Refuse(const std::string& text) {
  return Refusal{"resources", "usetl: " + text};
}

// As the kernel prints it: numbers and ranges of them. Empty: none is wanted.
bool IsCpuset(std::string_view text) {
  constexpr size_t kLongest = 4096;
  constexpr unsigned kMost = 8191;  // of a processor, as the kernel is built with at most
  if (text.size() > kLongest) return false;
  const auto take_number = [&](unsigned* number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
    text.remove_prefix(end - text.data());
    return error == std::errc() && *number <= kMost;
  };
  while (!text.empty()) {
    unsigned first = 0, last = 0;
    if (!take_number(&first)) return false;
    if (text.starts_with('-')) {
      text.remove_prefix(1);
      if (!take_number(&last) || last < first) return false;
    }
    if (text.empty()) return true;
    if (text[0] != ',' || text.size() == 1) return false;
    text.remove_prefix(1);
  }
  return true;
}

}  // namespace

std::optional<Refusal> AdmitCpusets(const v1::LinuxContainerResources& resources) {
  for (const auto& [name, value] : {std::pair{"cpuset_cpus", &resources.cpuset_cpus()},
                                    std::pair{"cpuset_mems", &resources.cpuset_mems()}}) {
    if (IsCpuset(*value)) continue;
    return Refuse(std::string(name) + " has to be a list of numbers and ranges, as 0-3,5");
  }
  return std::nullopt;
}

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
  const int64_t score = resources.oom_score_adj();
  if (score < kLeastOomScore || score > kMostOomScore) {
    return Refuse("oom_score_adj " + std::to_string(score) + " is not between -1000 and 1000");
  }
  return AdmitCpusets(resources);
}

// Not what kubelet gives to every container: page sizes of which there are none, no swap, and the
// function's end as a whole, which a USF has anyway.
std::string IgnoredResources(const v1::LinuxContainerResources& resources) {
  std::string names;
  const auto add = [&](bool ignored, const std::string& name) {
    if (ignored) names += (names.empty() ? "" : ", ") + name;
  };
  add(std::ranges::any_of(resources.hugepage_limits(),
                          [](const v1::HugepageLimit& limit) { return limit.limit() != 0; }),
      "hugepage_limits");
  add(std::ranges::any_of(resources.unified(),
                          [](const auto& item) { return item.first != "memory.oom.group"; }),
      "unified");
  const int64_t swap = resources.memory_swap_limit_in_bytes();
  add(swap != 0 && swap != resources.memory_limit_in_bytes(), "memory_swap_limit_in_bytes");
  return names;
}

}  // namespace usetl::cri
