// Requests of clients, replies of agents, frames of output: the worker's small parsers.
#include <gtest/gtest.h>

#include "vmm/proxy/worker/agent_reply.h"
#include "vmm/proxy/worker/output_frames.h"
#include "vmm/proxy/worker/run_request.h"

namespace usetl {
namespace {

TEST(RunRequest, HasDefaults) {
  const auto request = ParseRunRequest("{}");
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->runtime, "python3.11");
  EXPECT_EQ(request->tenant, "default");
  EXPECT_EQ(request->file, "function.py");
  EXPECT_EQ(request->timeout_ms, 60'000u);
  EXPECT_EQ(request->event, "null");
  EXPECT_FALSE(request->handler || request->has_stdin);
}

TEST(RunRequest, TakesEveryMember) {
  const auto request = ParseRunRequest(R"({"runtime": "r", "tenant": "t", "file": "f.py",
      "mode": "script", "handler": null, "event": [1, {"a": "\u00e9"}], "argv": ["-x", ""],
      "env": {"A": "b", "C": null}, "allow": ["http://a"], "stdin": true, "memory": 18446744073709551615,
      "timeout_ms": 4294967295, "unknown": 1})");
  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(request->runtime + request->tenant + request->file + request->mode, "rtf.pyscript");
  EXPECT_FALSE(request->handler);
  EXPECT_EQ(request->event, "[1,{\"a\":\"\u00e9\"}]");
  EXPECT_EQ(request->arguments, (std::vector<std::string>{"-x", ""}));
  EXPECT_EQ(request->environment.at("A"), "b");
  EXPECT_EQ(request->environment.at("C"), std::nullopt);
  EXPECT_EQ(request->allow, std::vector<std::string>{"http://a"});
  EXPECT_TRUE(request->has_stdin);
  EXPECT_EQ(request->memory, ~uint64_t{0});
  EXPECT_EQ(request->timeout_ms, ~uint32_t{0});
}

TEST(RunRequest, RefusesWrongTypes) {
  for (const char* text : {"",
                           "null",
                           "[]",
                           "{",
                           "\"x\"",
                           R"({"runtime": 1})",
                           R"({"tenant": []})",
                           R"({"tenant": ""})",
                           R"({"file": {}})",
                           R"({"file": ""})",
                           R"({"file": ".."})",
                           R"({"file": "a/b"})",
                           R"({"file": "a\u0000b"})",
                           R"({"mode": "other"})",
                           R"({"handler": 1})",
                           R"({"argv": "x"})",
                           R"({"argv": [1]})",
                           R"({"argv": {"a": "b"}})",
                           R"({"env": []})",
                           R"({"env": {"A": 1}})",
                           R"({"env": {"": "b"}})",
                           R"({"env": {"A=B": "b"}})",
                           R"({"env": {"A": "\u0000"}})",
                           R"({"allow": "http://a"})",
                           R"({"allow": [null]})",
                           R"({"stdin": 1})",
                           R"({"memory": -1})",
                           R"({"memory": 1.5})",
                           R"({"memory": "1"})",
                           R"({"timeout_ms": 4294967296})",
                           R"({"timeout_ms": 1e999})",
                           R"({"event_text": 5})",
                           R"({"event_text": "5,"})",
                           R"({"event_text": ""})",
                           "{\"event\": \"\xff\"}"}) {
    EXPECT_EQ(ParseRunRequest(text).status().code(), EINVAL) << text;
  }
  EXPECT_NE(ParseRunRequest(R"({"argv": 1})").status().message().find("argv"), std::string::npos);
  EXPECT_EQ(ParseRunRequest("{\"file\": \"" + std::string(256, 'f') + "\"}").status().code(),
            EINVAL);
}

TEST(RunRequest, KeepsTheTextOfAnEvent) {
  const auto request =
      ParseRunRequest(R"({"event_text": "\n {\"z\": 1180591620717411303424, \"a\": 2.50}"})");
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->event, R"({"z": 1180591620717411303424, "a": 2.50})");
}

TEST(RunRequest, BoundsDepth) {
  const auto nested = [](int depth) {
    return "{\"event\": " + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_TRUE(ParseRunRequest(nested(500)).ok());
  EXPECT_EQ(ParseRunRequest(nested(513)).status().code(), EINVAL);
  const auto text = [](int depth) {
    return "{\"event_text\": \"" + std::string(depth, '[') + std::string(depth, ']') + "\"}";
  };
  EXPECT_TRUE(ParseRunRequest(text(512)).ok());
  EXPECT_EQ(ParseRunRequest(text(513)).status().code(), EINVAL);
  // Brackets within text do not count.
  EXPECT_TRUE(ParseRunRequest("{\"event\": \"\\\"" + std::string(1000, '[') + "\"}").ok());
}

TEST(RunRequest, MakesRecords) {
  const auto request = ParseRunRequest(
      R"({"handler": "h", "argv": ["\""], "env": {"A": null}, "event": 5, "file": "\"f"})");
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(LoadRecord(*request, "/function/f", "/in"),
            R"({"argv":["\""],"env":{"A":null},"handler":"h","mode":"auto","path":"/function/f",)"
            R"("stdin":"/in"})");
  const std::string context =
      R"({"context":{"deadline":1.5,"function_name":"\"f","memory_limit_mb":64,"request_id":"7"},)";
  const RunContext of_run{"7", 1.5, 64};
  EXPECT_EQ(InvokeRecord(*request, "", of_run), context + R"("event":5})");
  EXPECT_EQ(InvokeRecord(*request, "/e", of_run), context + R"("event_path":"/e"})");
}

TEST(AgentReply, TakesWhatTheAgentWrites) {
  EXPECT_TRUE(ParseAgentReply(R"({"ok": true, "handler": null})")->ok);
  EXPECT_TRUE(ParseAgentReply(R"({"ok": true, "value": null})")->ok);
  EXPECT_TRUE(ParseAgentReply(R"({"ok": true, "exit": 3})")->ok);
  EXPECT_EQ(ParseAgentReply(R"({"ok": true, "path": "/tmp/x"})")->path, "/tmp/x");
  const auto failure = ParseAgentReply(
      R"({"ok": false, "exit": 1, "error": {"type": "E", "message": "m", "traceback": "t",
          "file": null, "line": null}})");
  ASSERT_TRUE(failure.ok());
  EXPECT_FALSE(failure->ok);
}

TEST(AgentReply, TellsMemoryErrors) {
  EXPECT_TRUE(ParseAgentReply(R"({"ok": true, "exit": 1, "out_of_memory": true})")->out_of_memory);
  EXPECT_FALSE(ParseAgentReply(R"({"ok": true, "exit": 1, "out_of_memory": 1})")->out_of_memory);
  const std::string_view reply =
      R"({"ok":false,"error":{"message":"","traceback":"t","type":"lib.ArrayMemoryError"}})";
  EXPECT_TRUE(ParseAgentReply(reply)->out_of_memory);
  EXPECT_FALSE(
      ParseAgentReply(R"({"ok": false, "error": {"type": "MemoryErrors"}})")->out_of_memory);
  const auto with = ReplyWith(reply, "a");
  EXPECT_EQ(*with, R"({"error":{"message":"a","traceback":"t","type":"lib.ArrayMemoryError"},)"
                   R"("ok":false})");
  EXPECT_EQ(*ReplyWith(*with, "b"),
            R"({"error":{"message":"a; b","traceback":"t","type":"lib.ArrayMemoryError"},)"
            R"("ok":false})");
  EXPECT_EQ(ReplyWith(R"({"ok": true})", "a").status().code(), EPROTO);
  EXPECT_EQ(ReplyWith(R"({"ok": false, "error": 1})", "a").status().code(), EPROTO);
}

TEST(AgentReply, WrapsValues) {
  EXPECT_EQ(*ReplyAround("[1]"), R"({"ok":true,"value":[1]})");
  EXPECT_EQ(ReplyAround("").status().code(), EPROTO);
  EXPECT_EQ(ReplyAround("1}, {\"x\": 2").status().code(), EPROTO);
  EXPECT_EQ(ReplyAround(std::string(600, '[') + std::string(600, ']')).status().code(), EPROTO);
}

std::string Frame(uint16_t stream, std::string_view text) {
  const abi::OutputFrame frame{stream, static_cast<uint16_t>(text.size())};
  return std::string(reinterpret_cast<const char*>(&frame), sizeof frame).append(text);
}

TEST(OutputFrames, PutsPiecesTogether) {
  const std::string large(65'535, 'x');
  const std::string bytes = Frame(1, "a") + Frame(2, "") + Frame(2, large) + Frame(1, "end");
  for (const size_t step : {size_t{1}, size_t{3}, size_t{1000}, bytes.size()}) {
    OutputFrames frames;
    std::string seen;
    for (size_t at = 0; at < bytes.size(); at += step) {
      ASSERT_TRUE(frames
                      .Add(std::string_view(bytes).substr(at, step),
                           [&](uint32_t stream, std::string_view text) {
                             seen += std::to_string(stream) + ":" + std::string(text) + ";";
                           })
                      .ok());
      ASSERT_LE(frames.kept(), sizeof(abi::OutputFrame) + 65'535);
    }
    EXPECT_TRUE(seen == "1:a;2:" + large + ";1:end;") << step;
    EXPECT_EQ(frames.kept(), 0u);
  }
}

TEST(OutputFrames, RefusesOtherStreams) {
  OutputFrames frames;
  for (const uint16_t stream : {uint16_t{0}, uint16_t{3}, uint16_t{0xffff}}) {
    EXPECT_EQ(frames.Add(Frame(stream, "x"), [](uint32_t, std::string_view) {}).code(), EPROTO);
  }
}

}  // namespace
}  // namespace usetl
