#include <gtest/gtest.h>
#include <malloc.h>

#include "tests/unit/gateway_h2_client.h"

namespace usetl::test {
namespace {

// The head ends such a stream, but its function streams on.
TEST(HostileHttp2, AnAnswerWithoutBodyOutlivesItsConnection) {
  for (const bool leaves : {false, true}) {
    GatewayWorld world;
    auto client = std::make_unique<H2Client>(&world);
    client->Request("HEAD", "/");
    client->Run();
    const uint64_t id = world.backend.ids[0];
    world.server->Answer(id, {200, {}}, std::nullopt);
    client->Run();
    EXPECT_TRUE(client->answers[1].ended);
    EXPECT_EQ(client->answers[1].status, "200");
    EXPECT_EQ(world.server->counters().in_flight, 0u);
    if (leaves) {
      client->socket().Close();
      world.Turn();
      EXPECT_EQ(world.server->counters().open, 0u);
    }
    EXPECT_TRUE(world.server->AnswerData(id, "more"));
    world.server->AnswerEnd(id);
    EXPECT_TRUE(world.backend.cancelled.empty()) << "it had all of its answer";
  }
}

TEST(HostileHttp2, HeadersThatWaitForABodyCountAsHeldMemory) {
  gateway::Options options;
  options.max_buffered = 64 << 10;
  GatewayWorld world(options);
  world.Echo();
  H2Client client(&world);
  // Once over the wire, then a byte or two for each repetition.
  const gateway::Headers large(7, {"x", std::string(3000, 'x')});
  for (int i = 0; i < 20; ++i) {
    client.Request("POST", "/", "x", large);
    client.Hold();
  }
  client.Run();
  EXPECT_LE(world.server->counters().buffered, options.max_buffered);
  EXPECT_EQ(client.answers[1].status, "");
  EXPECT_EQ(client.answers[39].status, "503");
  client.socket().Close();
  world.Turn();
  EXPECT_EQ(world.server->counters().buffered, 0u);
}

TEST(HostileHttp2, AStreamWithoutEndNeedsNoMoreMemoryThanAShortOne) {
  GatewayWorld world;
  H2Client client(&world);
  const int32_t stream = client.Request("GET", "/");
  client.Run();
  const uint64_t id = world.backend.ids[0];
  world.server->Answer(id, {200, {}}, std::nullopt);
  const std::string piece(40 << 10, 'x');
  const auto held = [] {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  const size_t before = held();
  // The function is always ahead of the client's window of 64 kB.
  while (world.server->AnswerData(id, piece)) continue;
  size_t received = 0;
  for (int i = 0; i < 1000; ++i) {
    client.Run();
    received += std::exchange(client.answers[stream].body, {}).size();
    while (!world.backend.room.empty()) {
      world.backend.room.clear();
      while (world.server->AnswerData(id, piece)) continue;
    }
  }
  EXPECT_GT(received, 30u << 20);
  EXPECT_LT(held(), before + (4 << 20));
}

TEST(HostileHttp2, ARefusedHeadRequestGetsNoBody) {
  GatewayWorld world;
  H2Client client(&world);
  const int32_t stream = client.Request("HEAD", "/" + std::string(8 << 10, 'a'));
  client.Run();
  EXPECT_EQ(client.answers[stream].status, "414");
  EXPECT_EQ(client.answers[stream].error, uint32_t{NGHTTP2_NO_ERROR});
  EXPECT_EQ(client.answers[stream].body, "");
}

}  // namespace
}  // namespace usetl::test
