// Bodies that reach a function in pieces.
#include <cstring>

#include "tests/unit/pod_invoker_fixture.h"

namespace usetl::pod {
namespace {

using abi::RecordType;

class CountingSink final : public AnswerSink {
 public:
  explicit CountingSink(uint64_t* taken) : taken_(taken) {}
  void OnHead(const AnswerHead&, std::optional<uint64_t>) override {}
  void OnData(std::string_view) override {}
  void OnBodyTaken(uint64_t bytes) override { *taken_ += bytes; }
  void OnEnd(const Status&) override {}

 private:
  uint64_t* const taken_;
};

class InvokerBody : public InvokerCase {
 protected:
  uint64_t Invoke(const std::string& body) {
    HttpCall call;
    call.method = "PUT";
    call.path = "/";
    call.body = body;
    call.body_follows = true;
    return invoker_.Invoke(std::move(call), std::make_unique<CountingSink>(&taken_));
  }
  Status Take(uint64_t id, uint32_t bytes) {
    const abi::BodyTaken record{bytes, 0};
    return Send(&invoker_, RecordType::kBodyTaken, id,
                {reinterpret_cast<const char*>(&record), sizeof record});
  }
  // What was sent of the body, and whether its end, and as a broken one.
  std::string Sent(bool* ended = nullptr, bool* broken = nullptr) const {
    std::string body;
    for (const Posted& record : posted_) {
      if (record.type == RecordType::kBodyData) body += record.payload;
      if (record.type != RecordType::kBodyEnd) continue;
      abi::BodyEnd end;
      std::memcpy(&end, record.payload.data(), sizeof end);
      if (ended != nullptr) *ended = true;
      if (broken != nullptr) *broken = end.broken != 0;
    }
    return body;
  }

  uint64_t taken_ = 0;
  Invoker invoker_ = Make();
};

TEST_F(InvokerBody, GoesByTheWindow) {
  std::string body(200'000, 'x');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  const uint64_t id = Invoke(body.substr(0, 10));
  invoker_.Body(id, std::string_view(body).substr(10));
  invoker_.BodyEnd(id);
  EXPECT_EQ(posted_.front().type, RecordType::kInvoke);
  EXPECT_NE(posted_.front().payload.find("\"body_stream\":true"), std::string::npos);
  EXPECT_EQ(Sent().size(), abi::kBodyWindow);
  bool ended = false;
  while (Sent(&ended).size() < body.size()) ASSERT_TRUE(Take(id, 1000).ok());
  EXPECT_TRUE(Sent(&ended) == body);
  EXPECT_TRUE(ended);
  EXPECT_EQ(posted_.back().type, RecordType::kBodyEnd);
  EXPECT_EQ(taken_ % 1000, 0u);
  EXPECT_GE(taken_ + abi::kBodyWindow, body.size());
}

TEST_F(InvokerBody, WaitsForRoomInTheRing) {
  room_ = 2;
  const uint64_t id = Invoke("first");
  invoker_.Body(id, "second");
  invoker_.BodyEnd(id);
  EXPECT_EQ(Sent(), "first");
  room_ = 10;
  invoker_.Turn();
  bool ended = false;
  EXPECT_EQ(Sent(&ended), "firstsecond");
  EXPECT_TRUE(ended);
}

TEST_F(InvokerBody, WhoWaitsKeepsItsBody) {
  const uint64_t first = Invoke("a"), second = Invoke("b");
  invoker_.Body(second, "c");
  invoker_.BodyEnd(second);
  invoker_.BodyEnd(first);
  EXPECT_EQ(Sent(), "a");
  const std::string result = R"({"ok":true,"http":{"status":204,"headers":[]}})";
  ASSERT_TRUE(Send(&invoker_, RecordType::kResult, first, result).ok());
  EXPECT_EQ(Sent(), "abc");
}

TEST_F(InvokerBody, TellsOfAClientThatLeft) {
  const uint64_t id = Invoke("a");
  invoker_.Cancel(id);
  bool ended = false, broken = false;
  Sent(&ended, &broken);
  EXPECT_TRUE(ended && broken);
  invoker_.Body(id, "late");
  EXPECT_EQ(Sent(), "a");
}

TEST_F(InvokerBody, AGuestCannotTakeWhatWasNotSent) {
  const uint64_t id = Invoke("abc");
  EXPECT_EQ(Take(id, 4).code(), EPROTO);
  EXPECT_EQ(Send(&invoker_, RecordType::kBodyTaken, id, "").code(), EPROTO);
  EXPECT_TRUE(Take(id, 3).ok());
  EXPECT_EQ(Take(id, 1).code(), EPROTO);
  EXPECT_EQ(Take(id + 1, 0).code(), EPROTO) << "of another request";
}

}  // namespace
}  // namespace usetl::pod
