#include <gtest/gtest.h>

#include "tests/unit/gateway_h2_client.h"

namespace usetl::test {
namespace {

TEST(Http2, AnswersStreamsInAnyOrder) {
  GatewayWorld world;
  H2Client client(&world);
  const int32_t a = client.Request("GET", "/a?x=1", "", {{"cookie", "p=1"}, {"cookie", "q=2"}});
  const int32_t b = client.Request("POST", "/b", "body", {{"x-request-id", "mine"}});
  client.Run();
  ASSERT_EQ(world.backend.requests.size(), 2u);
  const gateway::Request& first = world.backend.requests[0];
  EXPECT_EQ(first.path, "/a");
  EXPECT_EQ(first.query, "x=1");
  EXPECT_EQ(first.http_version, "2");
  const gateway::Headers expected = {
      {"host", "h"}, {"cookie", "p=1; q=2"}, {"x-request-id", first.request_id}};
  EXPECT_EQ(first.headers, expected);
  EXPECT_EQ(world.backend.requests[1].body, "body");
  world.Answer(world.backend.ids[1], "B");
  client.Run();
  EXPECT_TRUE(client.answers[b].ended);
  EXPECT_FALSE(client.answers[a].ended);
  world.Answer(world.backend.ids[0], "A", 404);
  client.Run();
  EXPECT_EQ(client.answers[a].status, "404");
  EXPECT_EQ(client.answers[a].body, "A");
  EXPECT_EQ(client.answers[b].body, "B");
  EXPECT_EQ(client.answers[b].headers[2],
            (std::pair<std::string, std::string>("x-request-id", "mine")));
  EXPECT_EQ(world.server->counters().in_flight, 0u);
  EXPECT_TRUE(world.backend.cancelled.empty());
}

TEST(Http2, AnswersFromWithinSubmit) {
  GatewayWorld world;
  world.Echo();
  H2Client client(&world);
  std::vector<int32_t> streams;
  for (int i = 0; i < 100; ++i) streams.push_back(client.Request("GET", "/" + std::to_string(i)));
  const std::string body(3 << 20, 'x');
  const int32_t large = client.Request("PUT", "/", body);
  const int32_t head = client.Request("HEAD", "/12345");
  client.Run();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(client.answers[streams[i]].body, "/" + std::to_string(i));
  EXPECT_TRUE(client.answers[large].body == body);
  EXPECT_TRUE(client.answers[head].ended);
  EXPECT_EQ(client.answers[head].body, "");
  EXPECT_EQ(client.answers[head].headers[1],
            (std::pair<std::string, std::string>("content-length", "6")));
}

TEST(Http2, StreamsAndBreaksOff) {
  GatewayWorld world;
  H2Client client(&world);
  const int32_t stream = client.Request("GET", "/");
  client.Run();
  const uint64_t id = world.backend.ids[0];
  world.server->Answer(id, {200, {}}, std::nullopt);
  client.Run();
  EXPECT_EQ(client.answers[stream].status, "200");
  EXPECT_TRUE(world.server->AnswerData(id, "one"));
  client.Run();
  EXPECT_EQ(client.answers[stream].body, "one");
  world.server->AnswerError(id, 500, "the function failed");
  client.Run();
  EXPECT_EQ(client.answers[stream].error, uint32_t{NGHTTP2_INTERNAL_ERROR});
}

TEST(Http2, FlowControlMakesTheFunctionWait) {
  GatewayWorld world;
  H2Client client(&world);
  nghttp2_settings_entry none{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
  nghttp2_submit_settings(client.session, 0, &none, 1);
  const int32_t stream = client.Request("GET", "/");
  client.Run();
  const uint64_t id = world.backend.ids[0];
  world.server->Answer(id, {200, {}}, std::nullopt);
  const std::string piece(24 << 10, 'x');
  size_t pieces = 1;
  while (world.server->AnswerData(id, piece)) ASSERT_LT(++pieces, 100u);
  client.Run();
  EXPECT_TRUE(world.backend.room.empty());
  EXPECT_EQ(client.answers[stream].body, "");
  nghttp2_submit_window_update(client.session, 0, stream, 1 << 20);
  nghttp2_submit_window_update(client.session, 0, 0, 1 << 20);
  client.Run();
  EXPECT_EQ(world.backend.room, std::vector<uint64_t>{id});
  world.server->AnswerEnd(id);
  client.Run();
  EXPECT_EQ(client.answers[stream].body.size(), pieces * piece.size());
}

TEST(Http2, SendsALargeAnswerToAClientThatTakesAllOfIt) {
  GatewayWorld world;
  H2Client client(&world);
  // As curl does: no window update is needed to go on.
  nghttp2_settings_entry wide{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 32 << 20};
  nghttp2_submit_settings(client.session, 0, &wide, 1);
  nghttp2_session_set_local_window_size(client.session, 0, 0, 32 << 20);
  const int large = 8 << 20;
  setsockopt(client.socket().fd(), SOL_SOCKET, SO_RCVBUF, &large, sizeof large);
  const int32_t stream = client.Request("GET", "/");
  client.Run();
  const std::string body(3 << 20, 'x');
  world.Answer(world.backend.ids[0], body);
  client.Run();
  EXPECT_TRUE(client.answers[stream].ended);
  EXPECT_EQ(client.answers[stream].body.size(), body.size());
}

TEST(Http2, TellsOfResetsAndLostConnections) {
  GatewayWorld world;
  H2Client client(&world);
  const int32_t stream = client.Request("GET", "/");
  client.Request("GET", "/");
  client.Run();
  nghttp2_submit_rst_stream(client.session, 0, stream, NGHTTP2_CANCEL);
  client.Run();
  EXPECT_EQ(world.backend.cancelled, std::vector<uint64_t>{world.backend.ids[0]});
  client.socket().Close();
  world.Turn();
  EXPECT_EQ(world.backend.cancelled, world.backend.ids);
  EXPECT_EQ(world.server->counters().open, 0u);
}

TEST(Http2, RefusesWhatIsTooLarge) {
  gateway::Options options;
  options.max_body = 1000;
  GatewayWorld world(options);
  world.Echo();
  H2Client client(&world);
  const int32_t announced =
      client.Request("PUT", "/", std::string(1001, 'x'), {{"content-length", "1001"}});
  const int32_t sent = client.Request("PUT", "/", std::string(5000, 'x'));
  const int32_t target = client.Request("GET", "/" + std::string(8 << 10, 'a'));
  gateway::Headers many;
  for (int i = 0; i < 101; ++i) many.push_back({"x", "y"});
  const int32_t headers = client.Request("GET", "/", "", many);
  const int32_t fine = client.Request("GET", "/fine");
  client.Run();
  EXPECT_EQ(client.answers[announced].status, "413");
  EXPECT_EQ(client.answers[sent].status, "413");
  EXPECT_EQ(client.answers[target].status, "414");
  EXPECT_EQ(client.answers[headers].status, "431");
  EXPECT_EQ(client.answers[fine].body, "/fine");
  EXPECT_EQ(world.backend.requests.size(), 1u);
}

TEST(Http2, EndsConnectionsThatOnlyCost) {
  for (const bool pings : {true, false}) {
    GatewayWorld world;
    H2Client client(&world);
    for (int i = 0; i < 2000 && client.goaway < 0; ++i) {
      if (pings) {
        nghttp2_submit_ping(client.session, 0, nullptr);
      } else {
        const int32_t stream = client.Request("GET", "/");
        client.Run();
        nghttp2_submit_rst_stream(client.session, 0, stream, NGHTTP2_CANCEL);
      }
      client.Run();
    }
    EXPECT_EQ(client.goaway, NGHTTP2_ENHANCE_YOUR_CALM) << pings;
    client.socket().Close();
    world.Turn();
    EXPECT_EQ(world.server->counters().open, 0u);
    EXPECT_EQ(world.backend.cancelled.size(), world.backend.ids.size());
  }
}

TEST(Http2, GarbageEndsTheConnection) {
  GatewayWorld world;
  H2Client client(&world);
  client.Run();
  client.SendRaw(std::string("\0\0\x01\x03\0\0\0\0\0x", 10) + std::string(100, '\xff'));
  client.Run();
  EXPECT_GT(client.goaway, 0);
  EXPECT_TRUE(client.socket().ended());
}

TEST(Http2, DrainsWithGoaway) {
  GatewayWorld world;
  H2Client client(&world);
  const int32_t stream = client.Request("GET", "/");
  client.Run();
  world.server->Drain(std::chrono::seconds(60));
  client.Run();
  EXPECT_EQ(client.goaway, NGHTTP2_NO_ERROR);
  world.Answer(world.backend.ids[0], "last");
  client.Run();
  EXPECT_EQ(client.answers[stream].body, "last");
  EXPECT_TRUE(client.socket().ended());
  EXPECT_TRUE(world.server->closed());
}

TEST(Http2, IsReachedByUpgrade) {
  GatewayWorld world;
  world.Echo();
  H2Client client(&world, true);
  client.socket().Send(
      "GET /first HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
      "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n");
  const uint8_t kSettings[] = {0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 0xff, 0xff};
  ASSERT_EQ(nghttp2_session_upgrade2(client.session, kSettings, sizeof kSettings, 0, nullptr), 0);
  world.Turn();
  std::string got = client.socket().Receive();
  const std::string_view kSwitch =
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n";
  ASSERT_EQ(got.substr(0, kSwitch.size()), kSwitch);
  got.erase(0, kSwitch.size());
  nghttp2_session_mem_recv(client.session, reinterpret_cast<const uint8_t*>(got.data()),
                           got.size());
  const int32_t second = client.Request("GET", "/second");
  client.Run();
  EXPECT_EQ(client.answers[1].body, "/first");
  EXPECT_EQ(client.answers[second].body, "/second");
}

TEST(Http2, AMalformedUpgradeIsAnsweredAsItStands) {
  GatewayWorld world;
  world.Echo();
  GatewayClient client = world.Connect();
  const std::string answer =
      world.Exchange(&client,
                     "GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                     "Upgrade: h2c\r\nHTTP2-Settings: !!\r\n\r\n");
  EXPECT_EQ(answer.substr(0, 15), "HTTP/1.1 200 OK");
  EXPECT_EQ(answer.substr(answer.size() - 2), "/a");
}

}  // namespace
}  // namespace usetl::test
