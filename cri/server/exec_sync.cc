#include <algorithm>

#include "cri/container/exec.h"
#include "cri/server/runtime_service.h"
#include "cri/server/streams.h"
#include "cri/server/views.h"
#include "cri/streaming/collect_output.h"

namespace usetl::cri {

grpc::Status RuntimeService::ExecSync(grpc::ServerContext* context,
                                      const v1::ExecSyncRequest* request,
                                      v1::ExecSyncResponse* response) {
  constexpr int64_t kMostSeconds = 1'000'000;  // what fits the clocks below
  if (request->cmd().empty()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "cmd is missing");
  }
  if (request->timeout() < 0) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "timeout is negative");
  }
  std::shared_ptr<const ContainerRecord> container;
  grpc::Status status = FindRunning(node_, request->container_id(), &container);
  if (!status.ok()) return status;
  const ProcessRequest process{
      {request->cmd().begin(), request->cmd().end()}, false, false, true, true};
  Result<std::unique_ptr<Process>> launched = LaunchProcess(node_, container->id(), process);
  if (!launched.ok()) return ToGrpc(launched.status());
  std::optional<std::chrono::milliseconds> limit;  // 0 is none
  if (request->timeout() > 0) {
    limit = std::chrono::seconds(std::min(request->timeout(), kMostSeconds));
  }
  Result<streaming::Output> output = streaming::CollectOutput(
      launched->get(), limit, [context] { return context->IsCancelled(); });
  if (!output.ok()) return ToGrpc(output.status());
  response->set_stdout(std::move(output->out));
  response->set_stderr(std::move(output->err));
  response->set_exit_code(output->exit_code);
  return grpc::Status::OK;
}

}  // namespace usetl::cri
