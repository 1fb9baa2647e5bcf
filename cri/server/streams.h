// streams.h: what the streaming verbs share, and what their streams lead to.
#ifndef USETL_CRI_SERVER_STREAMS_H_
#define USETL_CRI_SERVER_STREAMS_H_

#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "cri/server/node.h"
#include "cri/streaming/server.h"

namespace usetl::cri {

// `node` must outlive what it is given to.
streaming::Backend StreamBackend(Node* node);

// The running container that a request names: INVALID_ARGUMENT without an id, NOT_FOUND,
// FAILED_PRECONDITION when it does not run. `record` is set when OK.
grpc::Status FindRunning(const Node& node, const std::string& id,
                         std::shared_ptr<const ContainerRecord>* record);
// Where the client of `stream`, which belongs to that container, finds it. INVALID_ARGUMENT for
// streams that cannot be: none, or stderr beside a terminal; else as FindRunning.
grpc::Status ExpectClient(const Node& node, streaming::Server* streams,
                          const std::string& container, streaming::StreamRequest stream,
                          std::string* url);

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_STREAMS_H_
