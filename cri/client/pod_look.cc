#include "cri/client/pod_look.h"

#include <algorithm>
#include <cstdio>

#include "cri/client/call.h"
#include "cri/client/made_pods.h"

namespace usetl::cri {
namespace {

using Runtime = v1::RuntimeService::Stub;

// Of all these pods.
Result<std::vector<v1::Container>> Containers(Runtime* runtime, const PodManifest& manifest) {
  const auto pods = FindMadePods(runtime, manifest);
  if (!pods.ok()) return pods.status();
  std::vector<v1::Container> containers;
  for (const v1::PodSandbox& pod : *pods) {
    const auto found = ContainersOf(runtime, pod.id());
    if (!found.ok()) return found.status();
    containers.insert(containers.end(), found->begin(), found->end());
  }
  return containers;
}

bool Runs(const v1::Container& container) { return container.state() == v1::CONTAINER_RUNNING; }

Status ShowUse(Runtime* runtime, const v1::Container& container) {
  v1::ContainerStatsRequest request;
  request.set_container_id(container.id());
  v1::ContainerStatsResponse answer;
  USETL_RETURN_IF_ERROR(
      Call(runtime, &Runtime::ContainerStats, "ContainerStats", request, &answer));
  const v1::ContainerStats& stats = answer.stats();
  std::printf("%-14s %8.3f s %9.1f MB  %s\n", container.id().substr(0, 13).c_str(),
              static_cast<double>(stats.cpu().usage_core_nano_seconds().value()) / 1e9,
              static_cast<double>(stats.memory().working_set_bytes().value()) / 1e6,
              container.metadata().name().c_str());
  return Status();
}

Status ShowEnd(Runtime* runtime, const v1::Container& container) {
  v1::ContainerStatusRequest request;
  request.set_container_id(container.id());
  v1::ContainerStatusResponse answer;
  USETL_RETURN_IF_ERROR(
      Call(runtime, &Runtime::ContainerStatus, "ContainerStatus", request, &answer));
  const v1::ContainerStatus& status = answer.status();
  const std::string& name = status.metadata().name();
  if (status.state() != v1::CONTAINER_EXITED) {
    std::printf("%s has not started\n", name.c_str());
    return Status();
  }
  std::string message = status.message();  // the function's words, perhaps
  std::ranges::replace_if(
      message, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  std::printf("%s ended with status %d (%s)%s%s; its log: %s\n", name.c_str(), status.exit_code(),
              status.reason().c_str(), message.empty() ? "" : ": ", message.c_str(),
              status.log_path().c_str());
  return Status();
}

}  // namespace

Status ShowStats(const std::string& socket, const PodManifest& manifest) {
  const auto runtime = ConnectNode(socket);
  if (!runtime.ok()) return runtime.status();
  const auto containers = Containers(runtime->get(), manifest);
  if (!containers.ok()) return containers.status();
  if (containers->empty()) {
    return Status(ENOENT,
                  "the pod " + manifest.sandbox.metadata().name() + " has no containers yet");
  }
  if (std::ranges::any_of(*containers, Runs)) {
    std::printf("%-14s %10s %12s  %s\n", "CONTAINER", "CPU", "MEMORY", "NAME");
  }
  for (const v1::Container& container : *containers) {
    if (Runs(container)) USETL_RETURN_IF_ERROR(ShowUse(runtime->get(), container));
  }
  for (const v1::Container& container : *containers) {
    if (!Runs(container)) USETL_RETURN_IF_ERROR(ShowEnd(runtime->get(), container));
  }
  return Status();
}

Result<int> ExecInPod(const std::string& socket, const PodManifest& manifest,
                      const std::string& container, const std::vector<std::string>& command) {
  const auto runtime = ConnectNode(socket);
  if (!runtime.ok()) return runtime.status();
  const auto containers = Containers(runtime->get(), manifest);
  if (!containers.ok()) return containers.status();
  const auto chosen = std::ranges::find_if(*containers, [&](const v1::Container& candidate) {
    return Runs(candidate) && (container.empty() || candidate.metadata().name() == container);
  });
  if (chosen == containers->end()) {
    return Status(ENOENT,
                  "no container " +
                      (container.empty() ? "of " + manifest.sandbox.metadata().name() : container) +
                      " runs; --stats says why");
  }
  v1::ExecSyncRequest request;
  request.set_container_id(chosen->id());
  request.mutable_cmd()->Assign(command.begin(), command.end());
  v1::ExecSyncResponse done;
  USETL_RETURN_IF_ERROR(Call(runtime->get(), &Runtime::ExecSync, "ExecSync", request, &done));
  std::fwrite(done.stdout().data(), 1, done.stdout().size(), stdout);
  std::fwrite(done.stderr().data(), 1, done.stderr().size(), stderr);
  return done.exit_code();
}

}  // namespace usetl::cri
