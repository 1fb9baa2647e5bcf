// cni_plugin.h: runs a CNI plugin, once.
#ifndef USETL_CRI_NETWORK_CNI_PLUGIN_H_
#define USETL_CRI_NETWORK_CNI_PLUGIN_H_

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "vmm/base/status.h"

namespace usetl::cri {

// What plugins of one attachment are called with.
struct CniCall {
  std::string command;                   // ADD, DEL, CHECK, STATUS
  std::string container;                 // empty for STATUS, as the two below
  std::string network_namespace;         // path; empty for DEL when it is gone
  std::string arguments;                 // of CNI_ARGS
  std::vector<std::string> directories;  // of plugins; the first that has one counts
  std::chrono::milliseconds limit{30'000};
  std::function<bool()> cancelled = nullptr;  // asked now and then
};

// The path of the plugin `type`. EIO: it is in none of the directories.
Result<std::string> FindCniPlugin(const std::vector<std::string>& directories,
                                  const std::string& type);

// Runs the plugin `type` with `config` as its input and returns its answer. When it takes longer
// than the limit, or answers more than 1 MB, it is killed with its process group, as when it is
// cancelled. The Status is one line that names plugin and command; ETIMEDOUT, ECANCELED, else EIO.
// REQUIRES: SIGPIPE is ignored, for plugins need not read their input.
Result<std::string> RunCniPlugin(const CniCall& call, const std::string& type,
                                 const std::string& config);

}  // namespace usetl::cri

#endif  // USETL_CRI_NETWORK_CNI_PLUGIN_H_
