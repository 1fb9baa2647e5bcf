// inspect.cc: usetl ps and usetl inspect: what vmmd knows.
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "vmm/cli/commands.h"
#include "vmm/ipc/socket.h"
#include "vmm/pool/protocol.h"

namespace usetl {

namespace {

Result<nlohmann::json> Ask(int socket, uint32_t from) {
  const pool::PlainRequest request{pool::Request::kInspect, from};
  USETL_RETURN_IF_ERROR(ipc::Send(socket, ipc::Bytes(request)));
  Result<ipc::Message> message = ipc::Receive(socket);
  if (!message.ok()) return message.status();
  pool::ReplyRecord reply;
  if (message->bytes.size() < sizeof reply) return Status(EPROTO, "usetl-vmmd: short answer");
  auto state = nlohmann::json::parse(message->bytes.begin() + sizeof reply, message->bytes.end(),
                                     nullptr, false);
  if (state.is_discarded()) return Status(EPROTO, "usetl-vmmd: the answer is no JSON");
  return state;
}

}  // namespace

int Inspect(const std::string& node, bool table) {
  Result<Fd> socket = ipc::Connect(VmmdSocket(node));
  if (socket.status().code() == EACCES) return Complain(NodeOfAnother(node).message());
  if (!socket.ok())
    return Complain("no node in " + node + " (start one: usetl up --node " + node + ")");
  Result<nlohmann::json> answer = Ask(socket->get(), 0);
  if (!answer.ok()) return Complain(answer.status().message());
  nlohmann::json state = std::move(*answer);
  while (state.contains("next")) {
    answer = Ask(socket->get(), state["next"].get<uint32_t>());
    if (!answer.ok()) return Complain(answer.status().message());
    state.erase("next");
    for (auto& usf : (*answer)["usfs"]) state["usfs"].push_back(std::move(usf));
    if (answer->contains("next")) state["next"] = (*answer)["next"];
  }
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
