#include <gtest/gtest.h>
#include <sys/un.h>

#include "tests/unit/gateway_world.h"

namespace usetl::test {
namespace {

constexpr std::string_view kGet = "GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n";

bool Has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }
std::string BodyOf(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  return end == answer.npos ? std::string() : answer.substr(end + 4);
}

TEST(Http1, HandsOverWhatWasAsked) {
  GatewayWorld world;
  world.Echo();
  GatewayClient client = world.Connect();
  const std::string answer = world.Exchange(
      &client,
      "POST /x%20y?q=1 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nX-Drop: 1\r\n"
      "Connection: keep-alive, x-drop, x-forwarded-for\r\nContent-Length: 5\r\n"
      "X-Request-Id: mine\r\n\r\nhello");
  ASSERT_EQ(world.backend.requests.size(), 1u);
  const gateway::Request& request = world.backend.requests[0];
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/x%20y");
  EXPECT_EQ(request.query, "q=1");
  EXPECT_EQ(request.body, "hello");
  EXPECT_EQ(request.request_id, "mine");
  EXPECT_EQ(request.client.address, "192.0.2.1");
  EXPECT_EQ(request.server.port, 8080);
  const gateway::Headers expected = {{"host", "h"},
                                     {"x-forwarded-for", "1.2.3.4"},
                                     {"content-length", "5"},
                                     {"x-request-id", "mine"}};
  EXPECT_EQ(request.headers, expected);
  EXPECT_EQ(answer.substr(0, 17), "HTTP/1.1 200 OK\r\n");
  EXPECT_TRUE(Has(answer, "content-length: 5\r\n"));
  EXPECT_TRUE(Has(answer, "x-request-id: mine\r\n"));
  EXPECT_TRUE(Has(answer, "\r\ndate: "));
  EXPECT_EQ(BodyOf(answer), "hello");
}

TEST(Http1, KeepsTheConnectionAndAnswersPipelinedRequestsInOrder) {
  GatewayWorld world;
  GatewayClient client = world.Connect();
  std::string all;
  for (int i = 0; i < 50; ++i) all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\n\r\n";
  client.Send(all);
  world.Turn();
  // One at a time.
  ASSERT_EQ(world.backend.ids.size(), 1u);
  world.Answer(world.backend.ids[0], "<0>");
  EXPECT_EQ(world.backend.ids.size(), 1u) << "the backend is called from OnReady() only";
  world.backend.on_submit = [&](uint64_t id, const gateway::Request& request) {
    world.Answer(id, "<" + request.path.substr(1) + ">");
  };
  world.Turn();
  const std::string answers = client.Receive();
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = answers.find("<" + std::to_string(i) + ">", at);
    ASSERT_NE(at, answers.npos) << i;
  }
  EXPECT_FALSE(client.ended());
}

TEST(Http1, ReadsARequestThatComesByteByByte) {
  GatewayWorld world;
  world.Echo();
  GatewayClient client = world.Connect();
  const std::string request =
      "\r\nPOST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;x=y\r\nabc\r\n00a\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n";
  for (const char c : request) {
    client.Send({&c, 1});
    world.Turn();
  }
  EXPECT_EQ(BodyOf(client.Receive()), "abc0123456789");
  EXPECT_EQ(world.backend.requests[0].headers.back().second, "13");
  EXPECT_EQ(BodyOf(world.Exchange(&client, kGet)), "/a");
}

TEST(Http1, SaysContinueWhenItIsWaitedFor) {
  GatewayWorld world;
  world.Echo();
  GatewayClient client = world.Connect();
  EXPECT_EQ(world.Exchange(&client,
                           "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
                           "Expect: 100-continue\r\n\r\n"),
            "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(BodyOf(world.Exchange(&client, "ok")), "ok");
}

TEST(Http1, StreamsInChunksAndToOldClientsUntilTheEnd) {
  GatewayWorld world;
  for (const bool old : {false, true}) {
    GatewayClient client = world.Connect();
    client.Send(old ? "GET / HTTP/1.0\r\n\r\n" : kGet);
    world.Turn();
    const uint64_t id = world.backend.ids.back();
    world.server->Answer(id, {200, {}}, std::nullopt);
    std::string answer = client.Receive();
    EXPECT_EQ(Has(answer, "transfer-encoding: chunked"), !old);
    EXPECT_TRUE(world.server->AnswerData(id, "one"));
    EXPECT_EQ(client.Receive(), old ? "one" : "3\r\none\r\n");
    world.server->AnswerEnd(id);
    world.Turn();
    EXPECT_EQ(client.Receive(), old ? "" : "0\r\n\r\n");
    EXPECT_EQ(client.ended(), old);
  }
}

TEST(Http1, ABrokenStreamDoesNotLookComplete) {
  GatewayWorld world;
  GatewayClient client = world.Connect();
  world.Exchange(&client, kGet);
  const uint64_t id = world.backend.ids[0];
  world.server->Answer(id, {200, {}}, std::nullopt);
  world.server->AnswerData(id, "part");
  world.server->AnswerError(id, 500, "the function failed");
  world.Turn();
  const std::string answer = client.Receive();
  EXPECT_TRUE(client.ended());
  EXPECT_FALSE(Has(answer, "\r\n0\r\n"));
  EXPECT_EQ(world.server->counters().status_class[0], 1u);
}

TEST(Http1, ErrorsAreShortJsonWithTheRequestsId) {
  GatewayWorld world;
  GatewayClient client = world.Connect();
  world.Exchange(&client, "GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: r1\r\n\r\n");
  world.server->AnswerError(world.backend.ids[0], 500, "the function failed");
  const std::string answer = client.Receive();
  EXPECT_TRUE(Has(answer, "HTTP/1.1 500 Internal Server Error\r\n"));
  EXPECT_EQ(BodyOf(answer), "{\"error\":\"the function failed\",\"requestId\":\"r1\"}\n");
}

TEST(Http1, HeadAndNoContentHaveNoBody) {
  GatewayWorld world;
  GatewayClient client = world.Connect();
  world.Exchange(&client, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  world.Answer(world.backend.ids[0], "12345");
  std::string answer = client.Receive();
  EXPECT_TRUE(Has(answer, "content-length: 5\r\n"));
  EXPECT_EQ(BodyOf(answer), "");
  world.Exchange(&client, kGet);
  world.Answer(world.backend.ids[1], "ignored", 204);
  answer = client.Receive();
  EXPECT_FALSE(Has(answer, "content-length"));
  EXPECT_EQ(BodyOf(answer), "");
}

TEST(Http1, AnswersHeadersOfTheFunctionOnlyAsFarAsTheyAreSafe) {
  GatewayWorld world;
  GatewayClient client = world.Connect();
  world.Exchange(&client, kGet);
  world.server->Answer(world.backend.ids[0],
                       {200,
                        {{"x-a", "1"},
                         {"connection", "upgrade"},
                         {"transfer-encoding", "chunked"},
                         {"content-length", "77"},
                         {"x-b", "1\r\nx-c: 2"},
                         {"x d", "1"}}},
                       0);
  world.server->AnswerEnd(world.backend.ids[0]);
  const std::string answer = client.Receive();
  EXPECT_TRUE(Has(answer, "x-a: 1\r\n"));
  for (const auto* bad : {"upgrade", "chunked", "length: 77", "x-c", "x d"})
    EXPECT_FALSE(Has(answer, bad));
}

TEST(Http1, OldClientsMayKeepTheConnection) {
  GatewayWorld world;
  world.Echo();
  GatewayClient client = world.Connect();
  EXPECT_TRUE(Has(world.Exchange(&client, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
                  "connection: keep-alive\r\n"));
  EXPECT_TRUE(Has(world.Exchange(&client, "GET / HTTP/1.0\r\n\r\n"), "connection: close\r\n"));
  EXPECT_TRUE(client.ended());
}

TEST(Http1, TakesTheAuthorityOfAnAbsoluteTarget) {
  GatewayWorld world;
  world.Echo();
  GatewayClient client = world.Connect();
  world.Exchange(&client, "GET http://real.example?x HTTP/1.1\r\nHost: other\r\n\r\n");
  const gateway::Request& request = world.backend.requests.at(0);
  EXPECT_EQ(request.path, "/");
  EXPECT_EQ(request.query, "x");
  EXPECT_EQ(request.headers[0], (std::pair<std::string, std::string>("host", "real.example")));
}

TEST(Http1, TellsOfAClientThatLeft) {
  GatewayWorld world;
  GatewayClient client = world.Connect();
  world.Exchange(&client, kGet);
  client.Close();
  world.Turn();
  EXPECT_EQ(world.backend.cancelled, world.backend.ids);
  EXPECT_EQ(world.server->counters().open, 0u);
  world.Answer(world.backend.ids[0], "too late");  // is ignored
  EXPECT_EQ(world.server->counters().in_flight, 0u);
}

TEST(Http1, AnswersAClientThatSendsAllItHasAndThenTheEnd) {
  GatewayWorld world;
  world.Echo();
  GatewayClient client = world.Connect();
  client.Send(kGet);
  shutdown(client.fd(), SHUT_WR);
  world.Turn();
  EXPECT_EQ(BodyOf(client.Receive()), "/a");
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(world.server->counters().open, 0u);
}

TEST(Http1, ARefusalDoesNotBearTheIdOfTheRequestBefore) {
  GatewayWorld world;
  world.Echo();
  GatewayClient client = world.Connect();
  world.Exchange(&client, "HEAD / HTTP/1.1\r\nHost: h\r\nX-Request-Id: before\r\n\r\n");
  const std::string answer = world.Exchange(&client, "nonsense\r\n\r\n");
  EXPECT_TRUE(Has(answer, "HTTP/1.1 400 "));
  EXPECT_FALSE(Has(answer, "before"));
  EXPECT_FALSE(BodyOf(answer).empty());
}

TEST(Http1, ASlowReaderMakesTheFunctionWait) {
  GatewayWorld world;
  GatewayClient client = world.Connect();
  world.Exchange(&client, kGet);
  const uint64_t id = world.backend.ids[0];
  world.server->Answer(id, {200, {}}, std::nullopt);
  const std::string piece(24 << 10, 'Z');
  size_t pieces = 1;
  while (world.server->AnswerData(id, piece)) ASSERT_LT(++pieces, 1000u);
  std::string answer;
  while (world.backend.room.empty()) {
    answer += client.Receive();
    world.Turn();
  }
  EXPECT_EQ(world.backend.room, std::vector<uint64_t>{id});
  world.server->AnswerEnd(id);
  world.Turn();
  answer += client.Receive();
  EXPECT_EQ(std::count(answer.begin(), answer.end(), 'Z'), pieces * piece.size());
}

TEST(Http1, SendsALargeAnswerWhole) {
  GatewayWorld world;
  GatewayClient client = world.Connect();
  world.Exchange(&client, kGet);
  const std::string body(5 << 20, 'y');
  world.Answer(world.backend.ids[0], body);
  std::string answer;
  for (size_t before = 1; before != answer.size();) {
    before = answer.size();
    answer += client.Receive();
    world.Turn();
  }
  EXPECT_EQ(BodyOf(answer), body);
  EXPECT_EQ(BodyOf(world.Exchange(&client, kGet)), "");
}

TEST(Http1, EndsConnectionsWhenItDrains) {
  GatewayWorld world;
  GatewayClient idle = world.Connect(), busy = world.Connect();
  world.Exchange(&busy, kGet);
  world.server->Drain(std::chrono::seconds(60));
  world.Turn();
  idle.Receive();
  EXPECT_TRUE(idle.ended());
  EXPECT_FALSE(world.server->closed());
  world.Answer(world.backend.ids[0], "last");
  world.Turn();
  const std::string answer = busy.Receive();
  EXPECT_TRUE(Has(answer, "connection: close\r\n"));
  EXPECT_EQ(BodyOf(answer), "last");
  busy.Close();
  world.Turn();
  EXPECT_TRUE(world.server->closed());
}

TEST(Http1, CutsOffWhatIsLeftAtTheEndOfADrain) {
  GatewayWorld world;
  GatewayClient client = world.Connect();
  world.Exchange(&client, kGet);
  world.server->Drain(std::chrono::milliseconds(1));
  world.RunUntilClosed(&client);
  EXPECT_EQ(world.backend.cancelled.size(), 1u);
  EXPECT_TRUE(world.server->closed());
}

TEST(Http1, ListensAndRefusesTooManyConnections) {
  gateway::Options options;
  options.max_connections = 1;
  GatewayWorld world(options);
  world.Echo();
  // The kernel chooses an abstract name.
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socklen_t size = sizeof address.sun_family;
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  size = sizeof address;
  ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const auto dial = [&] {
    GatewayClient client(Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    if (connect(client.fd(), reinterpret_cast<sockaddr*>(&address), size) != 0) client.Close();
    return client;
  };
  EXPECT_LT(dial().fd(), 0) << "bound, but not listening";
  std::vector<Fd> listeners;
  listeners.push_back(std::move(listener));
  ASSERT_TRUE(world.server->Listen(std::move(listeners)).ok());
  GatewayClient first = dial(), second = dial();
  EXPECT_EQ(BodyOf(world.Exchange(&first, kGet)), "/a");
  EXPECT_TRUE(Has(second.Receive(), "HTTP/1.1 503 "));
  EXPECT_TRUE(second.ended());
  world.server->StopListening();
  EXPECT_LT(dial().fd(), 0);
  EXPECT_EQ(BodyOf(world.Exchange(&first, kGet)), "/a");
}

}  // namespace
}  // namespace usetl::test
