// call.h: a call of the CRI with a deadline, its error as a Status.
#ifndef USETL_CRI_CLIENT_CALL_H_
#define USETL_CRI_CLIENT_CALL_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "cri/client/interrupts.h"
#include "vmm/base/status.h"

namespace usetl::cri {

inline constexpr std::chrono::minutes kPatience{2};  // with one call, as kubelet's

inline Status ToStatus(const grpc::Status& status, const char* call) {
  if (status.ok()) return Status();
  std::string text = status.error_message();  // usetld's begins as this program's lines do
  if (constexpr std::string_view kName = "usetl: "; text.starts_with(kName)) {
    text.erase(0, kName.size());
  }
  // gRPC's own words, not usetld's.
  for (const char* gone : {"CANCELLED", "Socket closed", "failed to connect to all addresses"}) {
    if (text.starts_with(gone)) text = "the node has ended, or is about to";
  }
  return Status(EIO, std::string(call) + ": " + text);
}

// `interrupts`: what makes the call give up; null: nothing, for what was begun has to be ended.
template <typename Stub, typename Request, typename Response>
Status Call(Stub* stub,
            grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
            const char* name, const Request& request, Response* response,
            std::chrono::minutes patience = kPatience, Interrupts* interrupts = nullptr) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + patience);
  std::optional<Interrupts::Open> open;
  if (interrupts != nullptr) open.emplace(interrupts, &context);
  return ToStatus((stub->*method)(&context, request, response), name);
}

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_CALL_H_
