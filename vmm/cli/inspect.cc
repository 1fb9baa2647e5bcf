// inspect.cc: usetl ps and usetl inspect: what vmmd knows.
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "vmm/cli/commands.h"
#include "vmm/ipc/socket.h"
#include "vmm/pool/protocol.h"

namespace usetl {

int Inspect(const std::string& node, bool table) {
  Result<Fd> socket = ipc::Connect(VmmdSocket(node));
  if (!socket.ok())
    return Complain("no node in " + node + " (start one: usetl up --node " + node + ")");
  const pool::PlainRequest request{pool::Request::kInspect, 0};
  const Status sent = ipc::Send(socket->get(), ipc::Bytes(request));
  if (!sent.ok()) return Complain(sent.message());
  Result<ipc::Message> message = ipc::Receive(socket->get());
  if (!message.ok()) return Complain(message.status().message());
  pool::ReplyRecord reply;
  if (message->bytes.size() < sizeof reply) return Complain("usetl-vmmd: short answer");
  const auto state = nlohmann::json::parse(message->bytes.begin() + sizeof reply,
                                           message->bytes.end(), nullptr, false);
  if (state.is_discarded()) return Complain("usetl-vmmd: the answer is no JSON");
  if (!table) {
    std::printf("%s\n", state.dump(2).c_str());
    return 0;
  }
  std::printf("%6s %8s %-13s %6s %8s %12s\n", "USF", "PID", "STATE", "USES", "EXITS",
              "ROLLBACK us");
  for (const auto& usf : state["usfs"]) {
    std::printf("%6lu %8lu %-13s %6lu %8lu %12.1f\n", usf["usf"].get<uint64_t>(),
                usf["pid"].get<uint64_t>(), usf["state"].get<std::string>().c_str(),
                usf["uses"].get<uint64_t>(), usf["exits"].get<uint64_t>(),
                usf["rollback_ns"].get<uint64_t>() / 1e3);
  }
  return 0;
}

}  // namespace usetl
