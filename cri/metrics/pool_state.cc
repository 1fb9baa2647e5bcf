#include "cri/metrics/pool_state.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <cstring>

#include "vmm/base/json_text.h"
#include "vmm/ipc/socket.h"
#include "vmm/pool/protocol.h"

namespace usetl::cri {
namespace {

using nlohmann::json;

constexpr size_t kMostBuckets = 100;

Status Malformed(const char* key) {
  return Status(EPROTO, std::string("usetl-vmmd: its state has no number \"") + key + "\"");
}

Status TakeNumber(const json& object, const char* key, uint64_t* number) {
  const json* member = Member(object, key);
  if (member == nullptr || !member->is_number_unsigned()) return Malformed(key);
  *number = member->get<uint64_t>();
  return Status();
}

Status TakeNumbers(const json& object, const char* key, std::vector<uint64_t>* numbers) {
  const json* member = Member(object, key);
  if (member == nullptr || !member->is_array() || member->size() > kMostBuckets) {
    return Malformed(key);
  }
  for (const json& number : *member) {
    if (!number.is_number_unsigned()) return Malformed(key);
    numbers->push_back(number.get<uint64_t>());
  }
  return Status();
}

}  // namespace

Result<PoolState> ParsePoolState(std::string_view text) {
  const Result<json> parsed = ParseJson(text, "usetl-vmmd's state");
  if (!parsed.ok()) return parsed.status();
  PoolState state;
  const json* runtime = Member(*parsed, "runtime");
  if (runtime == nullptr || !runtime->is_string()) {
    return Status(EPROTO, "usetl-vmmd: its state names no runtime");
  }
  state.runtime = runtime->get<std::string>();
  const std::pair<const char*, uint64_t*> numbers[] = {
      {"wanted", &state.wanted},
      {"starting", &state.starting},
      {"idle", &state.idle},
      {"claimed", &state.claimed},
      {"rolling", &state.rolling},
      {"cloning", &state.cloning},
      {"ending", &state.ending},
      {"most", &state.most},
      {"region_size", &state.region_size},
      {"regions", &state.regions},
      {"regions_held", &state.regions_held},
      {"made", &state.made},
      {"rolled_back", &state.rolled_back},
      {"retired", &state.retired},
      {"lost", &state.lost},
      {"stuck", &state.stuck},
      {"claims_hit", &state.claims_hit},
      {"claims_waited", &state.claims_waited},
      {"claims_failed", &state.claims_failed},
  };
  for (const auto& [key, number] : numbers) {
    USETL_RETURN_IF_ERROR(TakeNumber(*parsed, key, number));
  }
  const json* rollbacks = Member(*parsed, "rollbacks");
  if (rollbacks == nullptr) return Malformed("rollbacks");
  USETL_RETURN_IF_ERROR(TakeNumber(*rollbacks, "sum_ns", &state.rollbacks.sum_ns));
  USETL_RETURN_IF_ERROR(TakeNumbers(*rollbacks, "bounds_ns", &state.rollbacks.bounds_ns));
  USETL_RETURN_IF_ERROR(TakeNumbers(*rollbacks, "counts", &state.rollbacks.counts));
  if (state.rollbacks.counts.size() != state.rollbacks.bounds_ns.size() + 1) {
    return Malformed("counts");
  }
  return state;
}

Result<PoolState> ReadPoolState(const std::string& vmmd_socket, std::chrono::milliseconds limit) {
  Result<Fd> socket = ipc::Connect(vmmd_socket, limit);  // which limits sending, too
  if (!socket.ok()) return socket.status().Annotate("usetl-vmmd");
  const timeval wait{static_cast<time_t>(limit.count() / 1000),
                     static_cast<suseconds_t>(limit.count() % 1000 * 1000)};
  if (setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0) {
    return Status::Errno("limiting the wait for usetl-vmmd");
  }
  const pool::PlainRequest request{pool::Request::kInspect, pool::kNoUsfs};
  USETL_RETURN_IF_ERROR(ipc::Send(socket->get(), ipc::Bytes(request)));
  const Result<ipc::Message> message = ipc::Receive(socket->get());
  if (!message.ok()) return message.status().Annotate("usetl-vmmd");
  pool::ReplyRecord reply;
  if (message->bytes.size() < sizeof reply) return Status(EPROTO, "usetl-vmmd: short answer");
  std::memcpy(&reply, message->bytes.data(), sizeof reply);
  const auto* text = reinterpret_cast<const char*>(message->bytes.data()) + sizeof reply;
  if (reply.reply != pool::Reply::kState ||
      reply.text_size != message->bytes.size() - sizeof reply) {
    return Status(EPROTO, "usetl-vmmd: not the answer to what was asked");
  }
  return ParsePoolState({text, reply.text_size});
}

}  // namespace usetl::cri
