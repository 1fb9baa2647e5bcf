#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/gateway_world.h"

namespace usetl::test {
namespace {

struct Hostile {
  const char* name;
  std::string bytes;
  int status;
};

const std::string kHost = "Host: h\r\n";

std::vector<Hostile> Table() {
  const auto with = [](const std::string& lines) {
    return "POST / HTTP/1.1\r\n" + kHost + lines + "\r\n";
  };
  const std::string chunked = with("Transfer-Encoding: chunked\r\n");
  std::string many;
  for (int i = 0; i < 101; ++i) many += "x: y\r\n";
  std::string trailers;
  for (int i = 0; i < 4000; ++i) trailers += "X\r\n";
  return {
      {"both lengths", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"both, turned", with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400},
      {"two lengths", with("Content-Length: 5\r\nContent-Length: 6\r\n"), 400},
      {"the same length twice", with("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
      {"list of lengths", with("Content-Length: 5, 5\r\n"), 400},
      {"signed length", with("Content-Length: +5\r\n"), 400},
      {"negative length", with("Content-Length: -5\r\n"), 400},
      {"hexadecimal length", with("Content-Length: 0x5\r\n"), 400},
      {"empty length", with("Content-Length:\r\n"), 400},
      {"overflowing length", with("Content-Length: 18446744073709551616\r\n"), 400},
      {"huge length", with("Content-Length: 9999999999999999999\r\n"), 413},
      {"length beyond the limit", with("Content-Length: 16777217\r\n"), 413},
      {"other coding", with("Transfer-Encoding: gzip\r\n"), 501},
      {"two codings", with("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {"coding twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"obscured coding", with("Transfer-Encoding: xchunked\r\n"), 501},
      {"coding of an old client", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"folded line", with("X: a\r\n b\r\n"), 400},
      {"folded line with tab", with("X: a\r\n\tb\r\n"), 400},
      {"bare LF", "GET / HTTP/1.1\nHost: h\n\r\n\r\n", 400},
      {"bare LF in headers", with("X: a\nY: b\r\n"), 400},
      {"bare CR", with("X: a\rY: b\r\n"), 400},
      {"NUL", with(std::string("X: a\0b\r\n", 8)), 400},
      {"NUL in the target", std::string("GET /\0 HTTP/1.1\r\n", 17) + kHost + "\r\n", 400},
      {"space before the colon", with("Content-Length : 5\r\n"), 400},
      {"no name", with(": x\r\n"), 400},
      {"no colon", with("nonsense\r\n"), 400},
      {"leading space", with(" X: y\r\n"), 400},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"version 2", "GET / HTTP/2.0\r\n" + kHost + "\r\n", 505},
      {"version 0.9", "GET /\r\n\r\n", 400},
      {"lower-case protocol", "GET / http/1.1\r\n" + kHost + "\r\n", 505},
      {"target without slash", "GET a HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {"other scheme", "GET ftp://h/ HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {"two hosts in one", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
      {"path in the host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"user in the host", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
      {"space in the host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"list of hosts in the target", "GET http://a,b/ HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {"user in the target", "GET http://u@h/ HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {"fragment", "GET /#x HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {"star for GET", "GET * HTTP/1.1\r\n" + kHost + "\r\n", 400},
      {"tunnel", "CONNECT h:1 HTTP/1.1\r\n" + kHost + "\r\n", 501},
      {"long target", "GET /" + std::string(8 << 10, 'a') + " HTTP/1.1\r\n" + kHost + "\r\n", 414},
      {"endless target", "GET /" + std::string(45 << 10, 'a'), 414},
      {"many headers", with(many), 431},
      {"long header", with("X: " + std::string(33 << 10, 'a') + "\r\n"), 431},
      {"endless header", "GET / HTTP/1.1\r\nX: " + std::string(45 << 10, 'a'), 431},
      {"other expectation", with("Expect: miracles\r\n"), 417},
      {"no TLS here", std::string("\x16\x03\x01\x02\x00\x01\r\n\r\n", 10), 400},
      {"chunk of no size", chunked + "\r\n", 400},
      {"chunk of words", chunked + "xyz\r\n", 400},
      {"negative chunk", chunked + "-1\r\n", 400},
      {"prefixed chunk", chunked + "0x1\r\n", 400},
      {"space before the chunk's size", chunked + " 1\r\na\r\n", 400},
      {"overflowing chunk", chunked + "ffffffffffffffff1\r\n", 400},
      {"chunk beyond the limit", chunked + "1000001\r\n", 413},
      {"chunk ended by LF", chunked + "1\na\n0\n\n", 400},
      {"chunk that is too long", chunked + "1\r\nab\r\n", 400},
      {"endless extension", chunked + "1;" + std::string(9 << 10, 'a'), 400},
      {"endless short trailers", chunked + "0\r\n" + trailers, 400},
      {"much to drop", with("Connection: " + std::string(1100, ',') + "\r\n"), 431},
      {"endless trailer", chunked + "0\r\nX: " + std::string(9 << 10, 'a'), 400},
  };
}

TEST(HostileHttp1, IsRefusedAndCannotGoOn) {
  for (const Hostile& hostile : Table()) {
    GatewayWorld world;
    world.Echo();
    GatewayClient client = world.Connect();
    client.Send(hostile.bytes);
    // What would be smuggled.
    client.Send("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    world.Turn();
    const std::string answer = client.Receive();
    EXPECT_EQ(answer.substr(0, 13), "HTTP/1.1 " + std::to_string(hostile.status) + " ")
        << hostile.name;
    EXPECT_TRUE(client.ended()) << hostile.name;
    EXPECT_TRUE(world.backend.requests.empty()) << hostile.name;
    client.Close();
    world.Turn();
    EXPECT_EQ(world.server->counters().open, 0u) << hostile.name;
  }
}

TEST(HostileHttp1, IdsOfRequestsAreTakenOverOnlyWhenTheyAreSane) {
  GatewayWorld world;
  world.Echo();
  for (const std::string& id :
       {std::string("a b"), std::string("\xc3\xa9"), std::string(129, 'x'), std::string()}) {
    GatewayClient client = world.Connect();
    world.Exchange(&client, "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: " + id + "\r\n\r\n");
    EXPECT_EQ(world.backend.requests.back().request_id.size(), 16u) << id;
  }
}

TEST(HostileHttp1, BodiesOfAllClientsTogetherAreBounded) {
  gateway::Options options;
  options.max_buffered = 100;
  GatewayWorld world(options);
  GatewayClient first = world.Connect(), second = world.Connect();
  const std::string request =
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60\r\n\r\n" + std::string(60, 'x');
  world.Exchange(&first, request);
  ASSERT_EQ(world.backend.ids.size(), 1u);
  EXPECT_EQ(world.Exchange(&second, request).substr(9, 3), "503");
  world.server->Answer(world.backend.ids[0], {200, {}}, 0);
  world.server->AnswerEnd(world.backend.ids[0]);
  world.Exchange(&first, request);
  EXPECT_EQ(world.backend.ids.size(), 2u);
}

TEST(HostileHttp1, InputThatWaitsCountsAsHeldMemory) {
  gateway::Options options;
  options.max_buffered = 48 << 10;
  GatewayWorld world(options);
  GatewayClient first = world.Connect(), second = world.Connect();
  const std::string head = "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(30 << 10, 'x');
  world.Exchange(&first, head);
  EXPECT_EQ(world.server->counters().buffered, head.size());
  EXPECT_EQ(world.Exchange(&second, head), "");
  EXPECT_TRUE(second.ended()) << "it would have been too much";
  world.Exchange(&first, "\r\n\r\n");
  EXPECT_EQ(world.backend.ids.size(), 1u);
  EXPECT_EQ(world.server->counters().buffered, 0u);
}

// One who pipelines and takes no answer would hold the memory of all.
TEST(HostileHttp1, NoRequestIsTakenWhileTheAnswersBeforeItWait) {
  GatewayWorld world;
  world.backend.on_submit = [&](uint64_t id, const gateway::Request&) {
    world.Answer(id, std::string(1 << 20, 'Z'));
  };
  GatewayClient client = world.Connect();
  std::string all;
  for (int i = 0; i < 20; ++i) all += "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  client.Send(all);
  world.Turn();
  EXPECT_LT(world.backend.ids.size(), 4u);
  std::string answers;
  for (size_t before = 1; before != answers.size();) {
    before = answers.size();
    answers += client.Receive();
    world.Turn();
  }
  EXPECT_EQ(world.backend.ids.size(), 20u) << "they go on when there is room";
  EXPECT_EQ(std::count(answers.begin(), answers.end(), 'Z'), 20 << 20);
}

}  // namespace
}  // namespace usetl::test
