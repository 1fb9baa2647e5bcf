// cni.h: attaches pods to the node's network by CNI plugins.
#ifndef USETL_CRI_NETWORK_CNI_H_
#define USETL_CRI_NETWORK_CNI_H_

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "cri/network/cni_config.h"
#include "cri/network/cni_plugin.h"
#include "records.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

struct CniOptions {
  std::string configs;                   // directory
  std::vector<std::string> directories;  // of plugins
  std::chrono::milliseconds limit{30'000};
};

// Thread-safe; calls for one pod are made one after another by the caller. GC is never called: it
// frees whatever the caller does not know, and other runtimes may use the same network.
class Cni {
 public:
  explicit Cni(CniOptions options) : options_(std::move(options)), directory_(options_.configs) {}

  // Whether there is a configuration and its plugins are there; asks none of them.
  Status Installed();
  // Whether pods can be attached: there is a configuration, and its plugins say so, where they can.
  Status Ready();
  // Sets the record's network_config: what Add and Delete go by.
  Status Choose(SandboxRecord* record);
  // Sets the record's network_result and addresses. After an error Delete is to be called.
  // REQUIRES: Choose().
  Status Add(SandboxRecord* record) const;
  // Whether everything is still as Add made it; else an error. False where the configuration has no
  // checks, and nobody was asked: of versions before 0.4.0, and with disableCheck. ECANCELED:
  // `cancelled`, which is asked now and then, has said so.
  Result<bool> Check(const SandboxRecord& record, std::function<bool()> cancelled) const;
  // By the configuration that Add used; clears what Add set. Goes on after an error, returns the
  // first, and may be repeated then.
  Status Delete(SandboxRecord* record);

 private:
  Result<CniCall> CallFor(const SandboxRecord& record, const char* command) const;

  const CniOptions options_;
  CniDirectory directory_;
};

// What `plugin` gets to read. Null: there is no such thing. `runtime` is by capability.
std::string CniInput(const CniConfig& config, const CniPlugin& plugin,
                     const nlohmann::json& runtime, const nlohmann::json& previous_result);

}  // namespace usetl::cri

#endif  // USETL_CRI_NETWORK_CNI_H_
