#include "cri/network/cni.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include "cri/network/cni_result.h"
#include "cri/network/runtime_config.h"

namespace usetl::cri {
namespace {

using nlohmann::json;

Result<std::string> RunTimed(const CniCall& call, const CniPlugin& plugin,
                             const std::string& input) {
  const auto before = std::chrono::steady_clock::now();
  Result<std::string> answer = RunCniPlugin(call, plugin.type, input);
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - before);
  spdlog::debug("pod {}: network plugin {}, {}: {} us", call.container, plugin.type, call.command,
                took.count());
  return answer;
}

// As it was stored; null when there is none.
Result<json> StoredResult(const SandboxRecord& record) {
  if (record.network_result().empty()) return json();
  return ParseCniResult(record.network_result());
}

}  // namespace

std::string CniInput(const CniConfig& config, const CniPlugin& plugin, const json& runtime,
                     const json& previous_result) {
  json input = plugin.config;
  input["cniVersion"] = config.version;
  input["name"] = config.name;
  input.erase("cniVersions");
  // Only what the runtime says counts, not what a file of the node pretends.
  input.erase("prevResult");
  input.erase("runtimeConfig");
  if (!previous_result.is_null()) input["prevResult"] = previous_result;
  if (runtime.is_object()) {
    for (const auto& [capability, value] : runtime.items()) {
      if (plugin.capabilities.contains(capability)) input["runtimeConfig"][capability] = value;
    }
  }
  return input.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<CniCall> Cni::CallFor(const SandboxRecord& record, const char* command) const {
  Result<std::string> arguments = CniArguments(record);
  if (!arguments.ok()) return arguments.status();
  return CniCall{command,
                 record.id(),
                 record.network_namespace(),
                 std::move(*arguments),
                 options_.directories,
                 options_.limit};
}

Status Cni::Installed() {
  const auto config = directory_.Get();
  if (!config.ok()) return config.status();
  for (const CniPlugin& plugin : (*config)->plugins) {
    const Status found = FindCniPlugin(options_.directories, plugin.type).status();
    if (!found.ok()) {
      return Status(found.code(), "network plugin " + plugin.type + " " + found.message() +
                                      "; install it, or name its directory (--cni-bin)");
    }
  }
  return Status();
}

Status Cni::Ready() {
  const auto config = directory_.Get();
  if (!config.ok()) return config.status();
  if (!(*config)->AtLeast(1, 1)) return Status();
  const CniCall call{"STATUS", "", "", "", options_.directories, options_.limit};
  for (const CniPlugin& plugin : (*config)->plugins) {
    USETL_RETURN_IF_ERROR(
        RunTimed(call, plugin, CniInput(**config, plugin, json(), json())).status());
  }
  return Status();
}

Status Cni::Choose(SandboxRecord* record) {
  const auto config = directory_.Get();
  if (!config.ok()) return config.status();
  record->set_network_config((*config)->text);
  return Status();
}

Status Cni::Add(SandboxRecord* record) const {
  const Result<CniConfig> config = ParseCniConfig(record->network_config());
  if (!config.ok()) return config.status();
  const Result<CniCall> call = CallFor(*record, "ADD");
  if (!call.ok()) return call.status();
  const Result<json> runtime = RuntimeConfigOf(record->config());
  if (!runtime.ok()) return runtime.status();
  json result;
  std::string text;
  for (const CniPlugin& plugin : config->plugins) {
    Result<std::string> answer =
        RunTimed(*call, plugin, CniInput(*config, plugin, *runtime, result));
    if (!answer.ok()) return answer.status();
    Result<json> parsed = ParseCniResult(*answer);
    if (!parsed.ok()) {
      return Status(EIO, "network plugin " + plugin.type + ", ADD: " + parsed.status().message());
    }
    result = std::move(*parsed);
    text = std::move(*answer);
  }
  const Result<std::vector<std::string>> addresses = AddressesOf(result);
  if (!addresses.ok()) {
    return Status(EIO, "network " + config->name + ": " + addresses.status().message());
  }
  if (addresses->empty()) {
    return Status(EIO, "network " + config->name + " gave the pod no address");
  }
  record->set_network_result(std::move(text));
  record->mutable_addresses()->Assign(addresses->begin(), addresses->end());
  return Status();
}

Result<bool> Cni::Check(const SandboxRecord& record, std::function<bool()> cancelled) const {
  const Result<CniConfig> config = ParseCniConfig(record.network_config());
  if (!config.ok()) return config.status().Annotate("the pod's stored network");
  if (config->disable_check || !config->AtLeast(0, 4)) return false;
  Result<CniCall> call = CallFor(record, "CHECK");
  if (!call.ok()) return call.status();
  call->cancelled = std::move(cancelled);
  const Result<json> runtime = RuntimeConfigOf(record.config());
  if (!runtime.ok()) return runtime.status();
  const Result<json> result = StoredResult(record);
  if (!result.ok()) return result.status();
  for (const CniPlugin& plugin : config->plugins) {
    USETL_RETURN_IF_ERROR(
        RunTimed(*call, plugin, CniInput(*config, plugin, *runtime, *result)).status());
  }
  return true;
}

Status Cni::Delete(SandboxRecord* record) {
  if (record->network_config().empty()) return Status();
  const Result<CniConfig> config = ParseCniConfig(record->network_config());
  if (!config.ok()) return config.status().Annotate("the pod's stored network");
  Result<CniCall> call = CallFor(*record, "DEL");
  Result<json> runtime = RuntimeConfigOf(record->config());
  const Result<json> result = StoredResult(*record);
  if (!result.ok()) return result.status();
  Status first;
  // Otherwise no plugin ever ran: Add refuses such a pod before.
  if (call.ok() && runtime.ok()) {
    struct stat info;
    if (stat(call->network_namespace.c_str(), &info) != 0) call->network_namespace.clear();
    for (auto plugin = config->plugins.rbegin(); plugin != config->plugins.rend(); ++plugin) {
      const Status status =
          RunTimed(*call, *plugin, CniInput(*config, *plugin, *runtime, *result)).status();
      if (first.ok()) first = status;
    }
  }
  if (!first.ok()) return first;
  record->clear_network_config();
  record->clear_network_result();
  record->clear_addresses();
  return Status();
}

}  // namespace usetl::cri
