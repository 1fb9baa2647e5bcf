// Bodies of requests that go to the backend in pieces.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/gateway_h2_client.h"

namespace usetl::test {
namespace {

constexpr size_t kMostHeld = 512 << 10;  // the window, one read, and what HTTP/2 lets come

gateway::Options Streaming() {
  gateway::Options options;
  options.stream_bodies = true;
  return options;
}

std::string Numbers(size_t size) {
  std::string text;
  for (size_t i = 0; text.size() < size; ++i) text += std::to_string(i) + " ";
  text.resize(size);
  return text;
}

// Sends all of `bytes`, the backend using what it gets, and returns what the client received.
std::string SendAll(GatewayWorld* world, GatewayClient* client, std::string_view bytes) {
  std::string received;
  uint64_t taken = 0;
  const uint64_t id = world->backend.ids.back();
  for (;;) {
    const size_t sent = client->Send(bytes);
    bytes.remove_prefix(sent);
    world->Turn();
    const uint64_t there = world->backend.bodies[id].size();
    EXPECT_LT(there - taken, kMostHeld);
    if (sent == 0 && there == taken) return received + (bytes.empty() ? "" : "<stuck>");
    world->server->BodyTaken(id, there - std::exchange(taken, there));
    world->Turn();
    received += client->Receive();
  }
  return received;
}

TEST(BodyStream, AnAnnouncedBodyComesInPieces) {
  GatewayWorld world(Streaming());
  GatewayClient client = world.Connect();
  const std::string body = Numbers(3 << 20);
  client.Send("PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
              "\r\n\r\n");
  world.Turn();
  ASSERT_EQ(world.backend.ids.size(), 1u) << "it does not wait for the body";
  EXPECT_TRUE(world.backend.requests[0].body_follows);
  const uint64_t id = world.backend.ids[0];
  EXPECT_EQ(SendAll(&world, &client, body), "");
  EXPECT_TRUE(world.backend.bodies[id] == body);
  EXPECT_EQ(world.backend.ended, std::vector<uint64_t>{id});
  world.Answer(id, "done");
  world.Turn();
  EXPECT_NE(client.Receive().find("\r\n\r\ndone"), std::string::npos);
  world.Echo();
  const std::string next = world.Exchange(&client, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(next.find("\r\n\r\n/next"), std::string::npos) << "the connection goes on";
  EXPECT_EQ(world.server->counters().buffered, 0u);
}

TEST(BodyStream, AFunctionThatReadsNothingIsSentLittle) {
  GatewayWorld world(Streaming());
  GatewayClient client = world.Connect();
  client.Send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n");
  const std::string piece(64 << 10, 'x');
  for (int i = 0; i < 100; ++i) {
    client.Send(piece);
    world.Turn();
  }
  EXPECT_LT(world.backend.bodies[world.backend.ids.at(0)].size(), kMostHeld);
  EXPECT_LT(world.server->counters().buffered, kMostHeld);
}

TEST(BodyStream, ChunksGoOnAsTheyCome) {
  GatewayWorld world(Streaming());
  GatewayClient client = world.Connect();
  client.Send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  world.Turn();
  ASSERT_EQ(world.backend.ids.size(), 1u);
  const uint64_t id = world.backend.ids[0];
  EXPECT_EQ(world.backend.requests[0].body, "one");
  EXPECT_TRUE(world.backend.requests[0].body_follows);
  // An answer in pieces between them: as for a conversation.
  world.server->Answer(id, {200, {}}, std::nullopt);
  world.server->AnswerData(id, "heard one");
  EXPECT_NE(client.Receive().find("heard one"), std::string::npos);
  client.Send("3\r\ntwo\r\n0\r\n\r\n");
  world.Turn();
  EXPECT_EQ(world.backend.bodies[id], "two");
  EXPECT_EQ(world.backend.ended.size(), 1u);
  world.server->AnswerEnd(id);
  EXPECT_NE(client.Receive().find("0\r\n\r\n"), std::string::npos);
}

TEST(BodyStream, WhatIsThereAtOnceIsWhole) {
  GatewayWorld world(Streaming());
  world.Echo();
  GatewayClient client = world.Connect();
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\n";
  world.Exchange(&client, head + "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n");
  world.Exchange(&client, head + "Content-Length: 3\r\n\r\none");
  ASSERT_EQ(world.backend.requests.size(), 2u);
  for (const gateway::Request& request : world.backend.requests) {
    EXPECT_FALSE(request.body_follows);
    EXPECT_EQ(request.body, "one");
  }
}

TEST(BodyStream, AnAnswerBeforeTheEndClosesTheConnection) {
  GatewayWorld world(Streaming());
  GatewayClient client = world.Connect();
  client.Send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nabc");
  world.Turn();
  world.Answer(world.backend.ids.at(0), "no", 403);
  world.Turn();
  const std::string answer = client.Receive();
  EXPECT_NE(answer.find(" 403 "), std::string::npos);
  EXPECT_NE(answer.find("connection: close"), std::string::npos);
  client.Send("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
  world.Turn();
  EXPECT_EQ(world.backend.ids.size(), 1u) << "the rest of a body is no request";
}

TEST(BodyStream, ClientsThatDoNotFinish) {
  struct Case {
    const char* what;
    std::string behind;  // the head and the first chunk
    bool closes;
    const char* status;
  };
  for (const Case& c :
       {Case{"leaves", "", true, ""}, Case{"malformed chunk", "zz\r\n", false, " 400 "},
        Case{"falls silent", "", false, " 408 "}}) {
    gateway::Options options = Streaming();
    options.body_idle = std::chrono::milliseconds(20);
    GatewayWorld world(options);
    GatewayClient client = world.Connect();
    client.Send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    world.Turn();
    ASSERT_EQ(world.backend.ids.size(), 1u) << c.what;
    client.Send(c.behind);
    if (c.closes) {
      client.Close();
      world.Turn();
    } else {
      const std::string answer = world.RunUntilClosed(&client);
      EXPECT_NE(answer.find(c.status), std::string::npos) << c.what << answer;
    }
    EXPECT_EQ(world.backend.cancelled, world.backend.ids) << c.what;
    EXPECT_TRUE(world.backend.ended.empty()) << c.what;
    EXPECT_EQ(world.server->counters().in_flight, 0u) << c.what;
  }
}

TEST(BodyStream, Http2StreamsDoNotHoldUpEachOther) {
  GatewayWorld world(Streaming());
  H2Client client(&world);
  const std::string body = Numbers(2 << 20);
  std::vector<int32_t> slow;
  for (int i = 0; i < 8; ++i) slow.push_back(client.Request("PUT", "/slow", body));
  client.Run();
  ASSERT_EQ(world.backend.ids.size(), 8u);
  const std::vector<uint64_t> ids = world.backend.ids;
  for (const uint64_t id : ids) EXPECT_LT(world.backend.bodies[id].size(), kMostHeld);
  world.Echo();
  const int32_t other = client.Request("GET", "/other");
  client.Run();
  EXPECT_EQ(client.answers[other].body, "/other");
  for (size_t i = 0; i < ids.size(); ++i) {
    size_t taken = 0;
    std::string whole = world.backend.requests[i].body;
    const size_t first = whole.size();
    while (std::ranges::find(world.backend.ended, ids[i]) == world.backend.ended.end()) {
      const size_t there = first + world.backend.bodies[ids[i]].size();
      ASSERT_LT(taken, there) << "stuck";
      world.server->BodyTaken(ids[i], there - std::exchange(taken, there));
      world.Turn();
      client.Run();
    }
    whole += world.backend.bodies[ids[i]];
    EXPECT_TRUE(whole == body);
    world.Answer(ids[i], "done");
    client.Run();
    EXPECT_EQ(client.answers[slow[i]].body, "done");
  }
  EXPECT_EQ(world.server->counters().buffered, 0u);
}

TEST(BodyStream, Http2AnswersBeforeTheEndEndTheRequest) {
  GatewayWorld world(Streaming());
  H2Client client(&world);
  const int32_t with_body = client.Request("PUT", "/", std::string(2 << 20, 'x'));
  const int32_t without = client.Request("PUT", "/", std::string(2 << 20, 'x'));
  client.Run();
  ASSERT_EQ(world.backend.ids.size(), 2u);
  world.Answer(world.backend.ids[0], "no", 403);
  world.server->Answer(world.backend.ids[1], {204, {}}, 0);
  world.server->AnswerEnd(world.backend.ids[1]);
  client.Run();
  EXPECT_EQ(client.answers[with_body].status, "403");
  EXPECT_EQ(client.answers[without].status, "204");
  for (const int32_t stream : {with_body, without}) {
    EXPECT_TRUE(client.answers[stream].ended);
    EXPECT_EQ(client.answers[stream].error, 0u);
  }
  EXPECT_EQ(world.server->counters().in_flight, 0u);
  EXPECT_EQ(world.server->counters().buffered, 0u);
}

}  // namespace
}  // namespace usetl::test
