// Answers as the agent gives them, and as a function could forge them.
#include "vmm/proxy/worker/answer.h"

#include <gtest/gtest.h>

namespace usetl {
namespace {

using nlohmann::json;

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

json Parsed(std::string_view text) {
  Result<json> answer = ParseAnswer(text);
  EXPECT_TRUE(answer.ok()) << answer.status().message();
  return answer.ok() ? *answer : json();
}

TEST(AnswerTest, ValueGoesOnAsItIs) {
  EXPECT_EQ(Parsed(R"({"ok":true,"value":{"n":[1,2.5,null,"\u00e4"]}})"),
            json::parse(R"({"ok":true,"value":{"n":[1,2.5,null,"ä"]}})"));
}

TEST(AnswerTest, OkAloneIsTheAnswerToALoad) {
  EXPECT_EQ(Parsed(R"({"ok":true,"handler":"main"})"), json::parse(R"({"ok":true,"value":null})"));
}

TEST(AnswerTest, ScriptEnds) {
  EXPECT_EQ(Parsed(R"({"ok":true,"exit":3})"), json::parse(R"({"ok":true,"exit":3})"));
  EXPECT_EQ(Parsed(R"({"ok":true,"exit":-1})")["exit"], 255);
  EXPECT_EQ(Parsed(R"({"ok":true,"exit":4294967299})")["exit"], 3);
}

TEST(AnswerTest, ErrorKeepsWhatClientsShow) {
  EXPECT_EQ(
      Parsed(R"({"ok":false,"exit":2,"error":{"type":"T","message":"m","traceback":"t","x":1}})"),
      json::parse(R"({"ok":false,"exit":2,"error":{"type":"T","message":"m","traceback":"t"}})"));
  EXPECT_EQ(Parsed(R"({"ok":false,"error":{}})")["error"]["type"], "Error");
}

TEST(AnswerTest, ForgedTypesAreRefused) {
  for (const char* text : {
           "",
           "1",
           "[]",
           "{",
           "{}",
           R"({"ok":1})",
           R"({"ok":"yes","value":1})",
           R"({"ok":true,"exit":"x"})",
           R"({"ok":true,"exit":1.5})",
           R"({"ok":true,"path":["/tmp/x"]})",
           R"({"ok":false})",
           R"({"ok":false,"error":"text"})",
           R"({"ok":false,"error":{"type":5}})",
           R"({"ok":false,"error":{"message":[]}})",
           R"({"ok":false,"error":{"traceback":{}}})",
           R"({"ok":false,"error":{},"exit":null})",
           "{\"ok\":true,\"value\":\"\xc3\x28\"}",
       }) {
    EXPECT_FALSE(ParseAnswer(text).ok()) << text;
  }
}

TEST(AnswerTest, DepthIsBounded) {
  const auto answer = [](int depth) { return R"({"ok":true,"value":)" + Nested(depth) + "}"; };
  EXPECT_TRUE(ParseAnswer(answer(kMaxAnswerDepth - 1)).ok());
  EXPECT_FALSE(ParseAnswer(answer(kMaxAnswerDepth)).ok());
  EXPECT_TRUE(WrapValue(Nested(kMaxAnswerDepth)).ok());
  EXPECT_FALSE(WrapValue(Nested(10'000'000)).ok());
  // Brackets in text are text.
  const std::string text = R"({"ok":true,"value":"\")" + std::string(10'000, '[') + "\"}";
  EXPECT_TRUE(ParseAnswer(text).ok());
}

TEST(AnswerTest, ValueOfAFileIsCheckedAndWrapped) {
  Result<std::string> wrapped = WrapValue("[1, 2]");
  ASSERT_TRUE(wrapped.ok());
  EXPECT_EQ(*wrapped, R"({"ok":true,"value":[1, 2]})");
  for (const char* text : {"", "[1", "1}", R"(1,"exit":3)", "nan"}) {
    EXPECT_FALSE(WrapValue(text).ok()) << text;
  }
}

}  // namespace
}  // namespace usetl
