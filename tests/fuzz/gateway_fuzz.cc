// What clients send, as bytes on a connection of a gateway: HTTP/1 or, after its preface, HTTP/2.
#include <cstdlib>

#include "tests/unit/gateway_world.h"

namespace {

using usetl::test::GatewayClient;
using usetl::test::GatewayWorld;

struct World : GatewayWorld {
  static usetl::gateway::Options Small() {
    usetl::gateway::Options options;
    options.max_body = 4096;
    return options;
  }
  World() : GatewayWorld(Small()) {
    if (server == nullptr) abort();
    backend.on_submit = [this](uint64_t id, const usetl::gateway::Request& request) {
      // Whole, streamed, streamed for as long as the client stays and longer, or not at all.
      switch (request.path.size() % 4) {
        case 0:
          return Answer(id, request.body);
        case 1:
          server->Answer(id, {200, request.headers}, std::nullopt);
          server->AnswerData(id, request.path);
          return server->AnswerEnd(id);
        case 2:
          late.push_back(id);
          return server->Answer(id, {200, {}}, std::nullopt);
        default:
          return;
      }
    };
  }

  std::vector<uint64_t> late;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World* world = new World;
  if (size == 0) return 0;
  // The first byte says in what pieces the rest comes.
  const size_t piece = data[0] < 128 ? size : data[0] - 127u;
  GatewayClient client = world->Connect();
  for (size_t at = 1; at < size; at += piece) {
    client.Send({reinterpret_cast<const char*>(data) + at, std::min(piece, size - at)});
    world->Turn();
    for (const uint64_t id : world->late) world->server->AnswerData(id, "late");
    client.Receive();
  }
  client.Close();
  world->Turn();
  // Nobody waits for these any more.
  for (const uint64_t id : world->late) {
    world->server->AnswerData(id, "late");
    world->server->AnswerEnd(id);
  }
  world->late.clear();
  const usetl::gateway::Counters& counters = world->server->counters();
  if (counters.open != 0 || counters.in_flight != 0 || counters.buffered != 0) abort();
  world->backend.ids.clear();
  world->backend.requests.clear();
  world->backend.cancelled.clear();
  return 0;
}
