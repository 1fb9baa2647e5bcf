#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/gateway_h2_client.h"

namespace usetl::test {
namespace {

gateway::Options Impatient() {
  gateway::Options options;
  options.header_limit = options.body_idle = options.keep_alive = options.write_stall =
      std::chrono::milliseconds(20);
  return options;
}

TEST(SlowClient, IsCutOffWhateverItIsSlowIn) {
  const std::pair<const char*, const char*> kTable[] = {
      {"", ""},
      {"GET / HT", "HTTP/1.1 408 "},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab", "HTTP/1.1 408 "},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", "HTTP/1.1 408 "},
      {"PRI * HTTP/2.0\r\n\r\nSM", "HTTP/1.1 408 "},
  };
  for (const auto& [sent, answer] : kTable) {
    GatewayWorld world(Impatient());
    GatewayClient client = world.Connect();
    client.Send(sent);
    EXPECT_EQ(world.RunUntilClosed(&client).substr(0, std::string(answer).size()), answer) << sent;
    EXPECT_TRUE(client.ended()) << sent;
  }
}

// Each byte comes in time, all of them never would.
TEST(SlowClient, WhoseBodyTricklesIsCutOff) {
  gateway::Options options;
  options.body_idle = std::chrono::milliseconds(50);
  options.body_rate = 1 << 20;
  GatewayWorld world(options);
  GatewayClient client = world.Connect();
  client.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
  std::string answer;
  pollfd ready{world.server->poll_fd(), POLLIN, 0};
  for (int i = 0; i < 10'000 && !client.ended(); ++i) {
    client.Send("x");
    poll(nullptr, 0, 1);
    if (poll(&ready, 1, 0) > 0) world.server->OnReady();
    answer += client.Receive();
  }
  EXPECT_NE(answer.find(" 408 "), std::string::npos);

  H2Client h2(&world);
  const int32_t slow = h2.Request("PUT", "/slow", "never");
  h2.Hold();
  const int32_t fast = h2.Request("GET", "/fast");
  h2.Run();
  for (int i = 0; i < 10'000 && !h2.answers[slow].ended; ++i) {
    h2.Request("GET", "/other");  // the connection is not idle
    h2.Run();
    for (const uint64_t id : std::exchange(world.backend.ids, {})) world.Answer(id, "fast");
    if (poll(&ready, 1, 1) > 0) world.server->OnReady();
    h2.Run();
  }
  EXPECT_EQ(h2.answers[slow].status, "408");
  EXPECT_EQ(h2.answers[fast].body, "fast");
}

TEST(SlowClient, ThatTakesNoAnswerIsCutOff) {
  GatewayWorld world(Impatient());
  GatewayClient client = world.Connect();
  world.Exchange(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  world.Answer(world.backend.ids[0], std::string(8 << 20, 'x'));
  pollfd ready{world.server->poll_fd(), POLLIN, 0};
  while (world.server->counters().open != 0 && poll(&ready, 1, 60'000) > 0) {
    world.server->OnReady();
  }
  EXPECT_EQ(world.server->counters().open, 0u);
}

TEST(SlowFunction, IsNotAClientsFault) {
  GatewayWorld world(Impatient());
  GatewayClient client = world.Connect(), other = world.Connect();
  world.Exchange(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  world.RunUntilClosed(&other);  // by now the limits have passed
  world.Answer(world.backend.ids[0], "late");
  EXPECT_NE(client.Receive().find("late"), std::string::npos);
}

// The limit of an idle connection has passed long before the answer is all sent.
TEST(SlowClient, ThatTakesItsAnswerIsNotIdle) {
  gateway::Options options;
  options.keep_alive = std::chrono::milliseconds(20);
  GatewayWorld world(options);
  GatewayClient client = world.Connect(), other = world.Connect();
  world.Exchange(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  world.Answer(world.backend.ids[0], std::string(4 << 20, 'Z'));
  world.RunUntilClosed(&other);
  std::string answer = client.Receive();
  answer += world.RunUntilClosed(&client);
  EXPECT_EQ(std::count(answer.begin(), answer.end(), 'Z'), 4 << 20);
  EXPECT_TRUE(client.ended()) << "idle at last";
}

TEST(SlowClient, CannotKeepARefusedStreamOpen) {
  gateway::Options options = Impatient();
  options.max_body = 10;
  GatewayWorld world(options);
  H2Client client(&world);
  // A body that is announced and never comes.
  client.Request("POST", "/", std::string(1, 'x'), {{"content-length", "11"}});
  client.Hold();
  client.Run();
  EXPECT_EQ(client.answers[1].status, "413");
  EXPECT_TRUE(client.answers[1].ended);
  world.RunUntilClosed(&client.socket());
  EXPECT_TRUE(client.socket().ended());
}

}  // namespace
}  // namespace usetl::test
