#include "cri/server/streams.h"

#include <sys/socket.h>

#include "cri/container/exec.h"
#include "cri/server/views.h"

namespace usetl::cri {
namespace {

Result<Fd> OpenPodSocket(const Node& node, const std::string& sandbox_id, int family) {
  const std::shared_ptr<Sandbox> sandbox = node.store->FindSandbox(sandbox_id);
  if (sandbox == nullptr) return Status(ENOENT, "the pod is gone");
  const std::shared_ptr<const SandboxRecord> record = sandbox->Get();
  if (record->state() != v1::SANDBOX_READY) return Status(EBUSY, "the pod is not ready");
  const Result<Fd> network = Namespaces::Open(record->network_namespace());
  if (!network.ok()) return network.status();
  Fd made;
  USETL_RETURN_IF_ERROR(Namespaces::Within(*network, [&] {
    made = Fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return made.ok() ? Status() : Status::Errno("socket");
  }));
  return made;
}

}  // namespace

streaming::Backend StreamBackend(Node* node) {
  return {[node](const std::string& container, const ProcessRequest& request) {
            return LaunchProcess(*node, container, request);
          },
          [node](const std::string& sandbox, int family) {
            return OpenPodSocket(*node, sandbox, family);
          }};
}

grpc::Status FindRunning(const Node& node, const std::string& id,
                         std::shared_ptr<const ContainerRecord>* record) {
  if (id.empty()) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "container_id is missing");
  }
  const std::shared_ptr<Container> container = node.store->FindContainer(id);
  if (container == nullptr) return NotFound("container", id);
  *record = container->Get();
  if ((*record)->state() == v1::CONTAINER_RUNNING) return grpc::Status::OK;
  return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION,
                      "the container " + (*record)->id() + " is not running");
}

grpc::Status ExpectClient(const Node& node, streaming::Server* streams,
                          const std::string& container, streaming::StreamRequest stream,
                          std::string* url) {
  const ProcessRequest& request = stream.process;
  if (request.tty && request.err) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                        "tty and stderr are both wanted: a terminal has one output");
  }
  if (!request.in && !request.out && !request.err) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                        "one of stdin, stdout and stderr has to be wanted");
  }
  std::shared_ptr<const ContainerRecord> record;
  const grpc::Status status = FindRunning(node, container, &record);
  if (!status.ok()) return status;
  stream.id = record->id();
  Result<std::string> expected = streams->Expect(std::move(stream));
  if (!expected.ok()) return ToGrpc(expected.status());
  *url = std::move(*expected);
  return grpc::Status::OK;
}

}  // namespace usetl::cri
