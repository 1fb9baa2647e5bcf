#include "cri/client/pod_look.h"

#include <algorithm>
#include <cstdio>

#include "cri/client/call.h"
#include "cri/client/made_pods.h"

namespace usetl::cri {
namespace {

using Runtime = v1::RuntimeService::Stub;

// The containers of all these pods that run, in the order of their creation.
Result<std::vector<v1::Container>> Running(Runtime* runtime, const PodManifest& manifest) {
  const auto pods = FindMadePods(runtime, manifest);
  if (!pods.ok()) return pods.status();
  std::vector<v1::Container> running;
  for (const v1::PodSandbox& pod : *pods) {
    v1::ListContainersRequest list;
    list.mutable_filter()->set_pod_sandbox_id(pod.id());
    list.mutable_filter()->mutable_state()->set_state(v1::CONTAINER_RUNNING);
    v1::ListContainersResponse found;
    USETL_RETURN_IF_ERROR(Call(runtime, &Runtime::ListContainers, "ListContainers", list, &found));
    running.insert(running.end(), found.containers().begin(), found.containers().end());
  }
  std::ranges::sort(running, {}, &v1::Container::created_at);
  if (!running.empty()) return running;
  return Status(
      ENOENT, "no container of " + manifest.sandbox.metadata().name() + " runs; its log says why");
}

}  // namespace

Status ShowStats(const std::string& socket, const PodManifest& manifest) {
  const auto runtime = ConnectNode(socket);
  if (!runtime.ok()) return runtime.status();
  const auto running = Running(runtime->get(), manifest);
  if (!running.ok()) return running.status();
  std::printf("%-14s %10s %12s  %s\n", "CONTAINER", "CPU", "MEMORY", "NAME");
  for (const v1::Container& container : *running) {
    v1::ContainerStatsRequest request;
    request.set_container_id(container.id());
    v1::ContainerStatsResponse answer;
    USETL_RETURN_IF_ERROR(
        Call(runtime->get(), &Runtime::ContainerStats, "ContainerStats", request, &answer));
    const v1::ContainerStats& stats = answer.stats();
    std::printf("%-14s %8.3f s %9.1f MB  %s\n", container.id().substr(0, 13).c_str(),
                static_cast<double>(stats.cpu().usage_core_nano_seconds().value()) / 1e9,
                static_cast<double>(stats.memory().working_set_bytes().value()) / 1e6,
                container.metadata().name().c_str());
  }
  return Status();
}

Result<int> ExecInPod(const std::string& socket, const PodManifest& manifest,
                      const std::string& container, const std::vector<std::string>& command) {
  const auto runtime = ConnectNode(socket);
  if (!runtime.ok()) return runtime.status();
  const auto running = Running(runtime->get(), manifest);
  if (!running.ok()) return running.status();
  const auto chosen = std::ranges::find_if(*running, [&](const v1::Container& candidate) {
    return container.empty() || candidate.metadata().name() == container;
  });
  if (chosen == running->end()) return Status(ENOENT, "no container " + container + " runs");
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
