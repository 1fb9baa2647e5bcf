#include <nlohmann/json.hpp>

#include "tests/unit/pod_invoker_fixture.h"
#include "vmm/proxy/gateway/http_text.h"

namespace usetl::pod {
namespace {

using abi::RecordType;
using nlohmann::json;

struct Told {
  int status = 0;
  gateway::Headers headers;
  std::string body;
  bool ended = false;
  int error = 0;
};

class Sink final : public AnswerSink {
 public:
  explicit Sink(Told* told) : told_(told) {}
  void OnHead(const AnswerHead& head, std::optional<uint64_t>) override {
    EXPECT_EQ(told_->status, 0) << "two heads";
    told_->status = head.status;
    told_->headers = head.headers;
  }
  void OnData(std::string_view bytes) override { told_->body.append(bytes); }
  void OnBodyTaken(uint64_t) override { FAIL() << "no body came in pieces"; }
  void OnEnd(const Status& status) override {
    EXPECT_FALSE(told_->ended);
    told_->ended = true;
    told_->error = status.code();
  }

 private:
  Told* told_;
};

// Declare what is told before the invoker, which tells it of its own end too.
class InvokerTest : public InvokerCase {
 protected:
  static HttpCall Get(std::string path) {
    HttpCall call;
    call.method = "GET";
    call.path = std::move(path);
    call.headers = {{"x-name", "caf\xe9"}};
    return call;
  }
  static Status Answer(Invoker* invoker, uint64_t id, std::string_view text,
                       RecordType type = RecordType::kResult) {
    return Send(invoker, type, id, text);
  }
  static json Invocation(const Posted& posted) {
    EXPECT_EQ(posted.type, RecordType::kInvoke);
    return json::parse(posted.payload);
  }
};

constexpr char kPlain[] = R"({"ok":true,"http":{"status":201,"headers":[["X-A","é"],)"
                          R"(["Transfer-Encoding","chunked"]],"body":"done"}})";

TEST_F(InvokerTest, OneAtATimeWithATimeout) {
  Invoker::Options options;
  options.timeout = std::chrono::hours(1);
  Told first, second;
  Invoker invoker = Make(options);
  const uint64_t number = invoker.Invoke(Get("/a"), std::make_unique<Sink>(&first));
  invoker.Invoke(Get("/b"), std::make_unique<Sink>(&second));
  ASSERT_EQ(posted_.size(), 1u);
  EXPECT_EQ(posted_[0].id, number);
  EXPECT_EQ(Invocation(posted_[0])["http"]["path"], "/a");
  EXPECT_EQ(Invocation(posted_[0])["http"]["headers"][0][1], "caf\u00e9");
  ASSERT_TRUE(Answer(&invoker, number, kPlain).ok());
  EXPECT_EQ(first.status, 201);
  EXPECT_EQ(first.headers, (gateway::Headers{{"x-a", "\xe9"}})) << "framing is the gateway's";
  EXPECT_EQ(first.body, "done");
  EXPECT_TRUE(first.ended);
  ASSERT_EQ(posted_.size(), 2u);
  EXPECT_EQ(Invocation(posted_[1])["http"]["path"], "/b");
  EXPECT_EQ(Answer(&invoker, number, kPlain).code(), EPROTO) << "answered twice";
}

TEST_F(InvokerTest, SomeAreGivenAheadAndAnsweredInOrder) {
  Told told[6];
  Invoker invoker = Make();
  uint64_t numbers[6];
  for (int i = 0; i < 6; ++i) {
    numbers[i] = invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[i]));
  }
  EXPECT_EQ(posted_.size(), 1u) << "nobody knows how slow it is";
  ASSERT_TRUE(Answer(&invoker, numbers[0], kPlain).ok());
  EXPECT_TRUE(told[0].ended);
  EXPECT_FALSE(told[1].ended);
  EXPECT_EQ(posted_.size(), 5u);
  EXPECT_FALSE(Invocation(posted_[1]).contains("unread"));
  EXPECT_EQ(Invocation(posted_[2])["unread"], numbers[1]);
  EXPECT_EQ(Answer(&invoker, numbers[2], kPlain).code(), EPROTO) << "not its turn";
  invoker.Cancel(numbers[1]);
  ASSERT_TRUE(Answer(&invoker, numbers[1], kPlain).ok());
  EXPECT_EQ(told[1].status, 0) << "its client has left";
  room_ = 0;
  ASSERT_TRUE(Answer(&invoker, numbers[2], kPlain).ok());
  EXPECT_EQ(posted_.size(), 6u);
  invoker.Abandon(Status(EIO, "lost"), true);
  EXPECT_EQ(told[2].status, 201);
  EXPECT_EQ(told[3].status, 502) << "it was being served";
  EXPECT_EQ(told[4].status, 503) << "given, not begun";
  EXPECT_EQ(told[5].status, 503);
  EXPECT_TRUE(invoker.idle());
}

TEST_F(InvokerTest, WhatAFunctionMayHaveBegunIsNotAskedForAgain) {
  Told told[7];
  Invoker invoker = Make();
  for (Told& one : told) invoker.Invoke(Get("/"), std::make_unique<Sink>(&one));
  room_ = 3;
  ASSERT_TRUE(Answer(&invoker, posted_[0].id, kPlain).ok());
  ASSERT_EQ(posted_.size(), 4u);
  invoker.Abandon(Status(EIO, "lost"), false);
  for (int i = 1; i < 4; ++i) EXPECT_EQ(told[i].status, 502) << "it may have been served";
  EXPECT_EQ(told[4].status, 503) << "not posted";
  for (int i = 5; i < 7; ++i) EXPECT_EQ(told[i].status, 503);
}

TEST_F(InvokerTest, ALostFunctionGetsNothing) {
  Told told[3];
  Invoker invoker = Make();
  for (Told& one : told) invoker.Invoke(Get("/"), std::make_unique<Sink>(&one));
  invoker.GiveNothing();
  ASSERT_TRUE(Answer(&invoker, posted_[0].id, kPlain).ok());
  invoker.Abandon(Status(EIO, "lost"), true);
  EXPECT_EQ(posted_.size(), 1u);
  EXPECT_EQ(told[0].status, 201);
  for (int i = 1; i < 3; ++i) EXPECT_EQ(told[i].status, 503) << "it only waited";
}

TEST_F(InvokerTest, NothingIsGivenAheadAfterAnAnswerInAFile) {
  Told told[4];
  Invoker invoker = Make();
  for (Told& one : told) invoker.Invoke(Get("/"), std::make_unique<Sink>(&one));
  ASSERT_TRUE(Answer(&invoker, posted_[0].id,
                     R"({"ok":true,"http":{"status":200,"headers":[],"body_path":"/x"}})")
                  .ok());
  EXPECT_EQ(told[0].status, 500) << "there is no such file";
  ASSERT_EQ(posted_.size(), 2u);
  ASSERT_TRUE(Answer(&invoker, posted_[1].id, kPlain).ok());
  EXPECT_EQ(posted_.size(), 4u);
}

TEST_F(InvokerTest, ASlowFunctionGetsNothingAhead) {
  quick_ = std::chrono::hours(0);
  Told told[3];
  Invoker invoker = Make();
  for (Told& one : told) invoker.Invoke(Get("/"), std::make_unique<Sink>(&one));
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(posted_.size(), i + 1);
    ASSERT_TRUE(Answer(&invoker, posted_[i].id, kPlain).ok());
    EXPECT_EQ(told[i].status, 201);
  }
}

TEST_F(InvokerTest, NothingIsGivenBesideALargeBody) {
  Told told[3];
  Invoker invoker = Make();
  HttpCall large = Get("/large");
  large.body = std::string(9 << 10, 'x');
  const uint64_t first = invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[0]));
  const uint64_t second = invoker.Invoke(std::move(large), std::make_unique<Sink>(&told[1]));
  invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[2]));
  EXPECT_EQ(posted_.size(), 1u);
  ASSERT_TRUE(Answer(&invoker, first, kPlain).ok());
  ASSERT_EQ(posted_.size(), 2u);
  EXPECT_TRUE(Invocation(posted_[1])["http"].contains("body_path"));
  ASSERT_TRUE(Answer(&invoker, second, kPlain).ok());
  EXPECT_EQ(posted_.size(), 3u);
}

TEST_F(InvokerTest, ARequestThatTheRingHadNoRoomForIsNotAnswered) {
  Told told[2];
  Invoker invoker = Make();
  room_ = 0;
  const uint64_t number = invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[0]));
  invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[1]));
  EXPECT_EQ(Answer(&invoker, number, kPlain).code(), EPROTO);
  room_ = kPlenty;
  invoker.Turn();
  EXPECT_EQ(posted_.size(), 1u);
  ASSERT_TRUE(Answer(&invoker, number, kPlain).ok());
  EXPECT_EQ(posted_.size(), 2u);
}

TEST_F(InvokerTest, RefusesWhenFullAndWhenClosed) {
  Invoker::Options options;
  options.queue = 1;
  options.timeout = std::chrono::hours(1);  // the function has one request at a time
  Told told[4];
  Invoker invoker = Make(options);
  for (int i = 0; i < 3; ++i) invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[i]));
  EXPECT_EQ(told[2].status, 503);
  EXPECT_FALSE(told[1].ended);
  invoker.Close();
  invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[3]));
  EXPECT_EQ(told[3].status, 503);
  ASSERT_TRUE(Answer(&invoker, posted_[0].id, kPlain).ok());
  ASSERT_TRUE(Answer(&invoker, posted_[1].id, kPlain).ok());
  EXPECT_EQ(told[1].status, 201) << "what is here goes on";
  EXPECT_TRUE(invoker.idle());
}

TEST_F(InvokerTest, FailuresOfTheFunction) {
  const char* const answers[] = {
      R"({"ok":false,"error":{"type":"E","message":"m","traceback":"the traceback"}})",
      "no json",
      R"({"ok":true,"value":1})",
      R"({"ok":true,"http":{"status":99}})",
      R"({"ok":true,"http":{"status":200,"headers":[["a","b\r\nc"]]}})",
      R"({"ok":true,"http":{"status":200,"headers":[["a b","c"]]}})",
      R"({"ok":true,"http":{"status":200,"headers":[["a","€"]]}})",
      R"({"ok":true,"http":{"status":200,"body_base64":"???"}})",
      R"({"ok":true,"http":{"status":200,"body_path":"/tmp/none"}})",
      R"({"ok":true,"streamed":true})"};
  Invoker invoker = Make();
  for (const char* answer : answers) {
    Told told;
    log_.clear();
    const uint64_t number = invoker.Invoke(Get("/"), std::make_unique<Sink>(&told));
    EXPECT_TRUE(Answer(&invoker, number, answer).ok()) << answer;
    EXPECT_EQ(told.status, 500) << answer;
    EXPECT_TRUE(told.ended);
    EXPECT_FALSE(log_.empty()) << answer;
    EXPECT_EQ(told.body.find("traceback"), told.body.npos);
  }
  EXPECT_TRUE(invoker.idle());
}

TEST_F(InvokerTest, StreamedAnswers) {
  Told told, broken;
  Invoker invoker = Make();
  uint64_t number = invoker.Invoke(Get("/"), std::make_unique<Sink>(&told));
  EXPECT_EQ(Answer(&invoker, number, "x", RecordType::kAnswerData).code(), EPROTO);
  ASSERT_TRUE(Answer(&invoker, number, R"({"status":200})", RecordType::kAnswerHead).ok());
  EXPECT_EQ(Answer(&invoker, number, R"({"status":200})", RecordType::kAnswerHead).code(), EPROTO);
  ASSERT_TRUE(Answer(&invoker, number, "one", RecordType::kAnswerData).ok());
  ASSERT_TRUE(Answer(&invoker, number, "two", RecordType::kAnswerData).ok());
  ASSERT_TRUE(Answer(&invoker, number, R"({"ok":true,"streamed":true})").ok());
  EXPECT_EQ(told.body, "onetwo");
  EXPECT_EQ(told.error, 0);
  number = invoker.Invoke(Get("/"), std::make_unique<Sink>(&broken));
  ASSERT_TRUE(Answer(&invoker, number, R"({"status":200})", RecordType::kAnswerHead).ok());
  ASSERT_TRUE(Answer(&invoker, number, R"({"ok":false})").ok());
  EXPECT_EQ(broken.error, EIO);
}

TEST_F(InvokerTest, BodiesThatDoNotFitARecord) {
  Told large, long_headers;
  Invoker invoker = Make();
  const uint64_t free = region_.free_bytes();
  for (const std::string& body : {std::string(20'000, 'x'), std::string(20'000, '\xff')}) {
    Told told;
    HttpCall call = Get("/");
    call.body = body;
    const uint64_t number = invoker.Invoke(std::move(call), std::make_unique<Sink>(&told));
    EXPECT_EQ(Invocation(posted_.back())["http"]["body_path"], "/run/usetl/body/0");
    EXPECT_LT(region_.free_bytes(), free);
    ASSERT_TRUE(Answer(&invoker, number, kPlain).ok());
    EXPECT_EQ(region_.free_bytes(), free) << "given back with the answer";
  }
  HttpCall call = Get("/");
  call.body = std::string(2 << 20, 'x');
  invoker.Invoke(std::move(call), std::make_unique<Sink>(&large));
  EXPECT_EQ(large.status, 413);
  call = Get("/" + std::string(40'000, 'x'));
  invoker.Invoke(std::move(call), std::make_unique<Sink>(&long_headers));
  EXPECT_EQ(long_headers.status, 431);
  EXPECT_TRUE(invoker.idle());
}

TEST_F(InvokerTest, CancelledAndAbandoned) {
  Told told[3];
  {
    Invoker invoker = Make();
    Told quick;
    const uint64_t before = invoker.Invoke(Get("/"), std::make_unique<Sink>(&quick));
    ASSERT_TRUE(Answer(&invoker, before, kPlain).ok());
    const uint64_t number = invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[0]));
    const uint64_t waits = invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[1]));
    invoker.Cancel(number);
    invoker.Cancel(waits);
    ASSERT_TRUE(Answer(&invoker, number, kPlain).ok());
    EXPECT_FALSE(invoker.idle()) << "the function has the second";
    ASSERT_TRUE(Answer(&invoker, waits, kPlain).ok());
    EXPECT_TRUE(invoker.idle());
    EXPECT_FALSE(told[0].ended || told[1].ended);
    invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[0]));
    invoker.Invoke(Get("/"), std::make_unique<Sink>(&told[1]));
    invoker.Abandon(Status(ETIMEDOUT, "too long"), true);
  }
  EXPECT_EQ(told[0].status, 504);
  EXPECT_EQ(told[1].status, 503);
}

TEST_F(InvokerTest, WaitsForRoomInTheRing) {
  Invoker::Options options;
  options.timeout = std::chrono::milliseconds(1000);
  Told told;
  Invoker invoker = Make(options);
  room_ = 0;
  invoker.Invoke(Get("/"), std::make_unique<Sink>(&told));
  EXPECT_TRUE(posted_.empty());
  EXPECT_FALSE(invoker.deadline()) << "the function does not have it yet";
  room_ = 1;
  invoker.Turn();
  ASSERT_EQ(posted_.size(), 1u);
  EXPECT_TRUE(invoker.deadline());
  EXPECT_TRUE(Invocation(posted_[0])["context"].contains("deadline"));
}

TEST(HttpText, Encodings) {
  EXPECT_EQ(gateway::DecodeBase64("aGk="), "hi");
  EXPECT_EQ(gateway::DecodeBase64("/+8A"), std::string("\xff\xef\0", 3));
  EXPECT_EQ(gateway::DecodeBase64(""), "");
  for (const char* bad : {"a", "a===", "aG=k", "aGk\n", "===="})
    EXPECT_FALSE(gateway::DecodeBase64(bad)) << bad;
  EXPECT_TRUE(gateway::IsUtf8("a\u00e9\u20ac\U0001f600"));
  for (const char* bad :
       {"\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3"}) {
    EXPECT_FALSE(gateway::IsUtf8(bad));
  }
}

}  // namespace
}  // namespace usetl::pod
