// A worker's session against hostile guests and clients.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/unit/session_world.h"

namespace usetl::test {
namespace {

using abi::RecordType;
using run::Type;

constexpr char kAsk[] = R"({"timeout_ms": 60000, "event": {"n": 1}, "timings": true})";
constexpr char kAskBriefly[] = R"({"timeout_ms": 200})";
constexpr char kLoaded[] = R"({"ok": true, "handler": "handler"})";

TEST(Session, HandsOutputAndResultOn) {
  SessionWorld world;
  world.Put(RecordType::kReady, 0, "");
  SessionWorld fresh;
  fresh.Put(RecordType::kLoaded, 1, kLoaded);
  fresh.Print(1, "printed");
  fresh.Print(2, "complained");
  fresh.Put(RecordType::kResult, 2, R"({"ok": true, "value": 7})");
  const auto told = fresh.Run(kAsk);
  ASSERT_EQ(told.size(), 4u);
  EXPECT_EQ(told[0].text, "printed");
  EXPECT_EQ(told[0].header.detail, 1u);
  EXPECT_EQ(told[1].text, "complained");
  EXPECT_EQ(told[1].header.detail, 2u);
  EXPECT_EQ(told[2].header.type, Type::kTimings);
  EXPECT_EQ(told[3].text, R"({"ok": true, "value": 7})");
  EXPECT_EQ(told[3].header.detail, 1u);
  // A record of no use here ends the function.
  EXPECT_NE(First(world.Run(kAsk), Type::kFailed).text, "none");
}

TEST(Session, ReadsLargeResultsFromTheRegion) {
  SessionWorld world;
  world.PutFile("[" + std::string(1'000'000, ' ') + "1]");
  world.Put(RecordType::kLoaded, 1, kLoaded);
  world.Put(RecordType::kResult, 2, R"({"ok": true, "path": "/value"})");
  std::string whole;
  for (const ToldMessage& message : world.Run(kAsk)) {
    if (message.header.type == Type::kResult) whole += message.text;
  }
  EXPECT_EQ(whole, "{\"ok\":true,\"value\":[" + std::string(1'000'000, ' ') + "1]}");
}

TEST(Session, EndsGuestsThatAnswerNonsense) {
  for (const char* answer :
       {"", "nonsense", "[]", "{}", R"({"ok": "yes"})", R"({"ok": 1})",
        R"({"ok": true, "exit": []})", R"({"ok": true, "exit": null})",
        R"({"ok": false, "error": "text"})", R"({"ok": false, "error": {"type": 1}})",
        R"({"ok": true, "path": 3})", R"({"ok": true, "path": "/none"})",
        R"({"ok": false, "path": "/none"})", "{\"ok\": true, \"value\": \"\xff\"}"}) {
    SessionWorld world;
    world.Put(RecordType::kLoaded, 1, kLoaded);
    world.Put(RecordType::kResult, 2, answer);
    const auto told = world.Run(kAsk);
    EXPECT_EQ(First(told, Type::kFailed).header.detail, 125u) << answer;
    EXPECT_EQ(First(told, Type::kResult).text, "none") << answer;
    SessionWorld loading;
    loading.Put(RecordType::kLoaded, 1, answer);
    EXPECT_NE(First(loading.Run(kAskBriefly), Type::kFailed).text, "none") << answer;
  }
}

TEST(Session, EndsGuestsThatAnswerOutOfTurn) {
  SessionWorld early;
  early.Put(RecordType::kResult, 2, R"({"ok": true, "value": 7})");
  EXPECT_NE(First(early.Run(kAsk), Type::kFailed).text, "none");
  SessionWorld twice;
  twice.Put(RecordType::kLoaded, 1, kLoaded);
  twice.Put(RecordType::kLoaded, 1, kLoaded);
  EXPECT_NE(First(twice.Run(kAsk), Type::kFailed).text, "none");
}

TEST(Session, RefusesValuesThatNestWithoutEnd) {
  SessionWorld world;
  world.PutFile(std::string(1'000'000, '[') + std::string(1'000'000, ']'));
  world.Put(RecordType::kLoaded, 1, kLoaded);
  world.Put(RecordType::kResult, 2, R"({"ok": true, "path": "/value"})");
  EXPECT_NE(First(world.Run(kAsk), Type::kFailed).text.find("nested too deeply"),
            std::string::npos);
  // A client's event as well.
  const std::string event = std::string(25'000, '[') + std::string(25'000, ']');
  EXPECT_NE(First(SessionWorld().Run("{\"event\": " + event + "}"), Type::kFailed)
                .text.find("nested too deeply"),
            std::string::npos);
}

TEST(Session, EndsBrokenRings) {
  SessionWorld records;
  records.guest_page().to_host.index = ~uint64_t{0};
  EXPECT_NE(First(records.Run(kAsk), Type::kFailed).text.find("broke its ring"), std::string::npos);
  SessionWorld bytes;
  bytes.guest_page().output.index = ~uint64_t{0};
  EXPECT_NE(First(bytes.Run(kAsk), Type::kFailed).text.find("broke its output ring"),
            std::string::npos);
  SessionWorld stream;
  stream.Print(3, "x");
  EXPECT_NE(First(stream.Run(kAsk), Type::kFailed).text.find("does not exist"), std::string::npos);
}

// The clock is looked at although the guest always has something to say.
TEST(Session, EndsGuestsThatNeverStopTalking) {
  for (const bool prints : {false, true}) {
    SessionWorld world;
    const auto told = world.Run(kAskBriefly, [&](const std::function<bool()>& over) {
      const abi::HostRegionEntry entry{7, 0};
      const std::string_view payload(reinterpret_cast<const char*>(&entry), sizeof entry);
      while (!over())
        prints ? world.Print(1, "again") : world.Put(RecordType::kRelease, 0, payload);
    });
    EXPECT_EQ(First(told, Type::kFailed).header.detail, 124u);
  }
}

TEST(Session, NoticesClientsThatGoOrStall) {
  SessionWorld gone;
  gone.client_leaves = true;
  const auto begin = std::chrono::steady_clock::now();
  gone.Run(R"({"timeout_ms": 600000})");
  SessionWorld stalled;
  stalled.client_reads = false;
  stalled.Run(kAskBriefly, [&](const std::function<bool()>& over) {
    while (!over()) stalled.Print(1, std::string(10'000, 'x'));
  });
  // Both would hang for ever, or for the ten minutes of the first request.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::minutes(5));
}

TEST(Session, AnswersMalformedRequests) {
  for (const char* request : {"x", "[]", R"({"argv": "x"})", R"({"stdin": true})"}) {
    EXPECT_NE(First(SessionWorld().Run(request), Type::kFailed).text, "none") << request;
  }
}

}  // namespace
}  // namespace usetl::test
