// Streamed answers and requests, flow control both ways, cancellation.
#include "tests/etl/harness.h"
#include "tests/etl/server.h"

namespace usetl::test {
namespace {

using abi::BodyKind;
using abi::HttpError;

class StreamTest : public EtlTest {
 protected:
  void Allow(const Server& server) { ASSERT_TRUE(options.policy.Allow(server.Origin()).ok()); }

  // Sends a body in pieces through a window of the guest region, as the guest kernel does.
  void SendThroughWindow(uint64_t id, const std::string& content, uint64_t window) {
    for (uint64_t sent = 0; sent < content.size();) {
      const uint64_t at = sent % window;
      const uint64_t size = std::min<uint64_t>({window / 4, window - at, content.size() - sent});
      Run([&] { return sent + size - answers[id].done_bytes <= window || answers[id].finished; });
      if (answers[id].finished) return;
      SendBody(id, content.substr(sent, size), at);
      ASSERT_TRUE(last_status.ok()) << last_status.message();
      sent += size;
    }
    Post(abi::RecordType::kHttpBodyEnd, id);
  }
};

TEST_F(StreamTest, CarriesMoreThanTheWindow) {
  const std::string content = Pattern(24 << 20);
  Server server(
      Answering([&](const std::string&, const std::string&) { return Reply("200 OK", content); }));
  Allow(server);
  options.limits.stream_window = 256 << 10;
  const Answer answer = Get(server.Url(), abi::kHttpStream);
  EXPECT_EQ(answer.error, HttpError::kNone);
  EXPECT_EQ(answer.head.streamed, 1u);
  EXPECT_EQ(answer.head.body_size, content.size());
  EXPECT_TRUE(answer.body == content);
  EXPECT_EQ(region->free_bytes(), region_size - region->data_base());
}

TEST_F(StreamTest, WaitsForTheGuest) {
  const std::string content = Pattern(4 << 20);
  Server server(
      Answering([&](const std::string&, const std::string&) { return Reply("200 OK", content); }));
  Allow(server);
  options.limits.stream_window = 100'000;  // not a multiple of anything
  options.limits.idle_timeout_ms = 200;    // does not count while the guest is slow
  auto_consume = false;
  const uint64_t id = Send({.url = server.Url(), .flags = abi::kHttpStream});
  RunFor(500);
  EXPECT_FALSE(answers[id].finished);
  while (!answers[id].finished) {
    Run([&] { return answers[id].unread || answers[id].finished; });
    Consume(id);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_EQ(answers[id].error, HttpError::kNone);
  EXPECT_TRUE(answers[id].body == content);
}

TEST_F(StreamTest, EndsOnlyAfterTheGuestHasReadAll) {
  Server server(
      Answering([&](const std::string&, const std::string&) { return Reply("200 OK", "abc"); }));
  Allow(server);
  auto_consume = false;
  const uint64_t id = Send({.url = server.Url(), .flags = abi::kHttpStream});
  Run([&] { return answers[id].unread; });
  RunFor(100);
  EXPECT_FALSE(answers[id].finished);
  Consume(id);
  EXPECT_TRUE(answers[id].finished);
  EXPECT_EQ(answers[id].body, "abc");
}

TEST_F(StreamTest, RefusesWrongConsumption) {
  Server server(
      Answering([&](const std::string&, const std::string&) { return Reply("200 OK", "abcdef"); }));
  Allow(server);
  auto_consume = false;
  const uint64_t id = Send({.url = server.Url(), .flags = abi::kHttpStream});
  Run([&] { return answers[id].unread; });
  for (const abi::HttpSpan span :
       {abi::HttpSpan{0, 6}, abi::HttpSpan{~uint64_t{0}, 6}, abi::HttpSpan{0, ~uint64_t{0}}}) {
    Post(abi::RecordType::kHttpConsumed, id, &span, sizeof span);
    EXPECT_EQ(last_status.code(), EPROTO);
  }
}

TEST_F(StreamTest, StreamsWhatTheRegionCannotHold) {
  const std::string content = Pattern(8 << 20);
  Server known(
      Answering([&](const std::string&, const std::string&) { return Reply("200 OK", content); }));
  Server unknown([&](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\n\r\n" + content);
  });
  Allow(known);
  Allow(unknown);
  region_size = 4 << 20;
  for (const std::string& url : {known.Url(), unknown.Url()}) {
    const Answer stored = Get(url);
    EXPECT_EQ(stored.error, HttpError::kNoSpace);
    const Answer streamed = Get(url, abi::kHttpMayStream);
    EXPECT_EQ(streamed.error, HttpError::kNone);
    EXPECT_EQ(streamed.head.streamed, 1u);
    EXPECT_TRUE(streamed.body == content);
    EXPECT_EQ(region->free_bytes(), region_size - region->data_base());
  }
}

// A region with little room left must end in an error or a ring that a piece fits into.
TEST_F(StreamTest, NeedsRoomForARing) {
  const std::string content = Pattern(2 << 20);
  Server unknown([&](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\n\r\n" + content);
  });
  Allow(unknown);
  region_size = 4 << 20;
  Open();
  for (uint64_t left = 4 << 10; left <= 256 << 10; left *= 2) {
    auto taken = region->Reserve(region->free_bytes() - left);
    ASSERT_TRUE(taken.ok());
    const Answer answer =
        Fetch({.url = unknown.Url(), .timeout_ms = 20'000, .flags = abi::kHttpMayStream});
    EXPECT_EQ(answer.error, left < 64 << 10 ? HttpError::kNoSpace : HttpError::kNone) << left;
    EXPECT_TRUE(answer.error != HttpError::kNone || answer.body == content);
    taken->Discard();
    EXPECT_EQ(region->free_bytes(), region_size - region->data_base());
  }
}

TEST_F(StreamTest, PassesASlowTrickleOn) {
  Server server([&](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
    for (char c = '0'; c <= '9'; ++c) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      connection.Send(std::string(1, c));
    }
  });
  Allow(server);
  const uint64_t id = Send({.url = server.Url(), .flags = abi::kHttpStream});
  Run([&] { return !answers[id].body.empty(); });
  EXPECT_LT(answers[id].body.size(), 10u);  // before the end
  EXPECT_EQ(Wait(id).body, "0123456789");
}

TEST_F(StreamTest, SendsStreamedBodies) {
  std::string coding, length;
  Server server(Answering([&](const std::string& head, const std::string& body) {
    coding = HeaderOf(head, "Transfer-Encoding");
    length = HeaderOf(head, "Content-Length");
    return Reply("200 OK", body);
  }));
  Allow(server);
  const std::string content = Pattern(8 << 20);
  const uint64_t unknown = Send({.method = "POST", .url = server.Url(), .kind = BodyKind::kStream});
  SendThroughWindow(unknown, content, 256 << 10);
  EXPECT_TRUE(Wait(unknown).body == content);
  EXPECT_EQ(coding, "chunked");
  EXPECT_EQ(answers[unknown].done_bytes, content.size());
  const uint64_t known = Send({.method = "PUT",
                               .url = server.Url(),
                               .kind = BodyKind::kStream,
                               .stream_size = content.size()});
  SendThroughWindow(known, content, 64 << 10);
  EXPECT_TRUE(Wait(known).body == content);
  EXPECT_EQ(length, std::to_string(content.size()));
  const uint64_t empty = Send({.method = "PUT", .url = server.Url(), .kind = BodyKind::kStream});
  Post(abi::RecordType::kHttpBodyEnd, empty);
  EXPECT_EQ(Wait(empty).head.body_size, 0u);
}

// A generator that yields single bytes, and a server that does not read yet.
TEST_F(StreamTest, SendsManySmallPieces) {
  std::atomic<bool> go = false;
  Server server([&](Connection& connection) {
    while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const std::string head = connection.ReadHead();
    connection.Send(Reply("200 OK", connection.ReadBody(head)));
  });
  Allow(server);
  const uint64_t id = Send({.method = "POST", .url = server.Url(), .kind = BodyKind::kStream});
  const std::string content = Pattern(200'000);
  for (size_t at = 0; at < content.size(); ++at) {
    SendBody(id, content.substr(at, 1), at);
    ASSERT_TRUE(last_status.ok()) << last_status.message();
  }
  Post(abi::RecordType::kHttpBodyEnd, id);
  go = true;
  EXPECT_TRUE(Wait(id).body == content);
  EXPECT_EQ(answers[id].done_bytes, content.size());
}

TEST_F(StreamTest, StreamsBothWaysAtOnce) {
  // Sends back every piece as it comes: the answer begins before the request has ended.
  Server server([&](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\n\r\n");
    for (size_t left = 6 << 20; left != 0;) {
      const std::string piece = connection.ReadNext();
      if (piece.empty() || !connection.Send(piece)) return;
      left -= std::min(left, piece.size());
    }
  });
  Allow(server);
  options.limits.stream_window = 64 << 10;
  const std::string content = Pattern(6 << 20);
  const uint64_t id = Send({.method = "POST",
                            .url = server.Url(),
                            .kind = BodyKind::kStream,
                            .stream_size = content.size(),
                            .flags = abi::kHttpStream});
  SendThroughWindow(id, content, 64 << 10);
  EXPECT_TRUE(Wait(id).body == content);
}

TEST_F(StreamTest, RefusesBodiesOfAnotherLength) {
  Server server(Answering(
      [&](const std::string&, const std::string& body) { return Reply("200 OK", body); }));
  Allow(server);
  const uint64_t shorter =
      Send({.method = "PUT", .url = server.Url(), .kind = BodyKind::kStream, .stream_size = 10});
  SendBody(shorter, "12345", 0);
  Post(abi::RecordType::kHttpBodyEnd, shorter);
  EXPECT_EQ(Wait(shorter).error, HttpError::kBadRequest);
  const uint64_t longer =
      Send({.method = "PUT", .url = server.Url(), .kind = BodyKind::kStream, .stream_size = 10});
  SendBody(longer, "12345678901", 0);
  EXPECT_EQ(Wait(longer).error, HttpError::kBadRequest);
  const uint64_t outside = Send({.method = "PUT", .url = server.Url(), .kind = BodyKind::kStream});
  const abi::HttpSpan span{kGuestSize - 1, 2};
  Post(abi::RecordType::kHttpBody, outside, &span, sizeof span);
  EXPECT_EQ(last_status.code(), EPROTO);
}

TEST_F(StreamTest, AnswersBeforeTheBodyIsComplete) {
  Server server([&](Connection& connection) {
    connection.ReadHead();
    connection.Send(Reply("413 Too Large", "no", "Connection: close\r\n"));
    while (!connection.Read().empty()) {
    }
  });
  Allow(server);
  const uint64_t id = Send({.method = "POST", .url = server.Url(), .kind = BodyKind::kStream});
  SendThroughWindow(id, Pattern(1 << 20), 64 << 10);
  const Answer& answer = Wait(id);
  EXPECT_EQ(answer.head.status, 413u);
  SendBody(id, "late", 0);
  EXPECT_TRUE(last_status.ok());
}

TEST_F(StreamTest, CancelsInFlight) {
  Server hanging([&](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    connection.Send(Pattern(100'000));
    while (!connection.Read().empty()) {
    }
  });
  Allow(hanging);
  options.limits.max_active = 2;
  const uint64_t stored = Send({.url = hanging.Url()});
  const uint64_t streamed = Send({.url = hanging.Url(), .flags = abi::kHttpStream});
  const uint64_t waiting = Send({.url = hanging.Url()});
  Run([&] { return answers[streamed].body.size() == 100'000; });
  for (const uint64_t id : {waiting, stored, streamed}) {
    Post(abi::RecordType::kHttpCancel, id);
    Post(abi::RecordType::kHttpCancel, id);
    EXPECT_TRUE(answers[id].finished);
    EXPECT_EQ(answers[id].error, HttpError::kCancelled);
    EXPECT_EQ(answers[id].last_records, 1);
  }
  EXPECT_EQ(region->free_bytes(), region_size - region->data_base());
  EXPECT_EQ(proxy().counters().cancelled, 3u);
}

TEST_F(StreamTest, CancelAllPostsNothing) {
  Server hanging([&](Connection& connection) {
    connection.ReadHead();
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while (!connection.Read().empty()) {
    }
  });
  Allow(hanging);
  const uint64_t id = Send({.url = hanging.Url(), .flags = abi::kHttpStream});
  Run([&] { return answers[id].have_head; });
  proxy().CancelAll();
  RunFor(50);
  EXPECT_FALSE(answers[id].finished);
  EXPECT_EQ(proxy().open_transactions(), 0u);
  EXPECT_EQ(region->free_bytes(), region_size - region->data_base());
}

}  // namespace
}  // namespace usetl::test
