// session.h: one function from claim to result: the body of a worker process.
//
// Single-threaded. Everything from the client and from the guest is hostile to it; a fault here
// reaches one function.
#ifndef USETL_VMM_PROXY_WORKER_SESSION_H_
#define USETL_VMM_PROXY_WORKER_SESSION_H_

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "vmm/ipc/socket.h"
#include "vmm/proxy/etl/etl_proxy.h"
#include "vmm/proxy/worker/output_frames.h"
#include "vmm/proxy/worker/run_protocol.h"
#include "vmm/proxy/worker/run_request.h"
#include "vmm/proxy/worker/usf_link.h"

namespace usetl {

class Session {
 public:
  // `objects` are the directories behind file: URLs. `client` has connected; `vmmd` is a fresh
  // connection.
  Session(Fd client, Fd vmmd, etl::ObjectStore objects)
      : client_(std::move(client)), vmmd_(std::move(vmmd)), objects_(std::move(objects)) {}

  // Serves the one request of the client. Errors are told to the client.
  void Run();

  // Touches, in a process that waits for its client, the memory that a session will use.
  static void Rehearse();

 private:
  using Clock = std::chrono::steady_clock;

  Status ReadRequest();
  Result<std::string> ReadAll(int fd, const char* what);
  Status Prepare();
  Status AddInput();
  Status EnsureEtl();
  Status Loop();
  void TellResult();
  Status OnRecord(const abi::RecordHeader& header, std::span<const uint8_t> payload);
  // What the limit had to do with a MemoryError, in the result or, of a script, before it.
  Status ExplainMemoryError(bool of_script);
  Status DrainGuest(bool* progress);
  Status DrainOutput();
  Status OnVmmd();
  void Tell(run::Type type, uint32_t detail, std::string_view bytes);
  void Mark(const char* step);

  Fd client_, vmmd_;
  etl::ObjectStore objects_;  // directories that the operator opened
  RunRequest request_;
  std::string code_, stdin_;  // until they lie in the region
  std::unique_ptr<UsfLink> link_;
  etl::Policy policy_;
  std::unique_ptr<etl::EtlProxy> etl_;  // made for the first HTTP request
  nlohmann::json timings_ = nlohmann::json::object();
  Clock::time_point mark_ = Clock::now();
  Clock::time_point deadline_;
  std::string result_;  // JSON text, once there is one
  OutputFrames output_;
  bool loaded_ = false;  // the guest has said so
  bool done_ = false;
  bool client_left_ = false;
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_WORKER_SESSION_H_
