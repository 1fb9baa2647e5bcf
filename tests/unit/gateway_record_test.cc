#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "vmm/proxy/gateway/answer_record.h"
#include "vmm/proxy/gateway/http_text.h"
#include "vmm/proxy/gateway/request_record.h"

namespace usetl::gateway {
namespace {

using nlohmann::json;

Request Sample() {
  Request request;
  request.method = "POST";
  request.path = "/a\xe9";
  request.query = "x=\"\\";
  request.headers = {{"host", "h"}, {"x", "caf\xe9\t\""}};
  request.request_id = "id";
  request.client = {"192.0.2.1", 1234};
  return request;
}

json Written(const Request& request, const RecordOptions& options) {
  std::string record = "left over";
  EXPECT_TRUE(WriteRequestRecord(request, options, &record).ok());
  return json::parse(record, nullptr, false);
}

TEST(RequestRecord, IsJsonOfAllThatWasAsked) {
  const json record = Written(Sample(), {24 << 10, {}, 12.5});
  const json expected = {{"context", {{"request_id", "id"}, {"deadline", 12.5}}},
                         {"http",
                          {{"method", "POST"},
                           {"path", "/a\xc3\xa9"},
                           {"query", "x=\"\\"},
                           {"scheme", "http"},
                           {"http_version", "1.1"},
                           {"client", {"192.0.2.1", 1234}},
                           {"server", nullptr},
                           {"headers", json::array({json::array({"host", "h"}),
                                                    json::array({"x", "caf\xc3\xa9\t\""})})}}}};
  EXPECT_EQ(record, expected);
}

TEST(RequestRecord, WritesEachBodyInTheWayThatKeepsIt) {
  Request request = Sample();
  for (const std::string& body : {std::string("{\"a\":\n1}"), std::string("\xc3\xa9\0\x1f\x7f", 5),
                                  std::string("\xff\xfe")}) {
    request.body = body;
    const json http = Written(request, {24 << 10, {}, {}})["http"];
    const bool is_text = IsUtf8(body);
    EXPECT_EQ(http.contains("body"), is_text);
    if (is_text) {
      EXPECT_EQ(http["body"], body);
    } else {
      EXPECT_EQ(DecodeBase64(http["body_base64"].get<std::string>()), body);
    }
  }
  const json http = Written(request, {24 << 10, "/run/usetl/body/3", {}})["http"];
  EXPECT_EQ(http["body_path"], "/run/usetl/body/3");
  EXPECT_FALSE(http.contains("body_base64"));
}

TEST(RequestRecord, IsBounded) {
  Request request = Sample();
  std::string record;
  request.body = std::string(600, '\x01');  // six bytes each
  EXPECT_EQ(WriteRequestRecord(request, {2000, {}, {}}, &record).code(), E2BIG);
  EXPECT_TRUE(WriteRequestRecord(request, {2000, "/b", {}}, &record).ok());
  request.headers.push_back({"y", std::string(2000, 'y')});
  EXPECT_EQ(WriteRequestRecord(request, {2000, "/b", {}}, &record).code(), E2BIG);
}

TEST(Base64, GoesBothWaysAndIsStrict) {
  for (const std::string& bytes : {std::string(), std::string("f"), std::string("fo"),
                                   std::string("foo"), std::string("\0\xff\x10", 3)}) {
    std::string text;
    AppendBase64(bytes, &text);
    EXPECT_EQ(DecodeBase64(text), bytes);
  }
  for (const auto* bad : {"Zg", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm9_", "Z g="}) {
    EXPECT_FALSE(DecodeBase64(bad)) << bad;
  }
}

Result<AnswerRecord> Read(std::string_view text) {
  return ReadAnswer(json::parse(text, nullptr, false));
}

TEST(AnswerRecord, IsReadAndCleaned) {
  Result<AnswerRecord> answer = Read(
      R"({"status":201,"headers":[["X-A","caf\u00e9"],["Connection","close"],
          ["Content-Length","7"],["Set-Cookie","a=1"],["set-cookie","b=2"]],
          "body_base64":"aGk="})");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->head.status, 201);
  const Headers expected = {{"x-a", "caf\xe9"}, {"set-cookie", "a=1"}, {"set-cookie", "b=2"}};
  EXPECT_EQ(answer->head.headers, expected);
  EXPECT_EQ(answer->body, "hi");
}

TEST(AnswerRecord, HostileOnesAreErrorsThatSayWhy) {
  std::string many = R"(["a","b"])";
  for (int i = 0; i < 100; ++i) many += R"(,["a","b"])";
  const std::pair<std::string, const char*> kTable[] = {
      {"[]", "no object"},
      {"{}", "no status"},
      {R"({"status":"200"})", "no status"},
      {R"({"status":199})", "no status"},
      {R"({"status":600})", "no status"},
      {R"({"status":200.5})", "no status"},
      {R"({"status":9223372036854775808})", "no status"},
      {R"({"status":200,"headers":"x"})", "no list"},
      {R"({"status":200,"headers":{"a":"b"}})", "no list"},
      {R"({"status":200,"headers":[)" + many + "]}", "no list of up to 100"},
      {R"({"status":200,"headers":[["a","b","c"]]})", "no pair"},
      {R"({"status":200,"headers":[["a",1]]})", "no pair"},
      {R"({"status":200,"headers":[["a b","x"]]})", "name"},
      {R"({"status":200,"headers":[["","x"]]})", "name"},
      {R"({"status":200,"headers":[["a","x\r\ny: z"]]})", "of a"},
      {R"({"status":200,"headers":[["a","x\u0000"]]})", "of a"},
      {R"({"status":200,"headers":[["a","\u20ac"]]})", "of a"},
      {R"({"status":200,"body":1})", "no text as body"},
      {R"({"status":200,"body":"a","body_path":"/b"})", "more than one"},
      {R"({"status":200,"body_base64":"???"})", "no base64"},
      {R"({"status":200,"body_path":"relative"})", "no absolute path"},
      {R"({"status":200,"body_path":"/a\u0000b"})", "no absolute path"},
  };
  for (const auto& [text, why] : kTable) {
    const Result<AnswerRecord> answer = Read(text);
    EXPECT_EQ(answer.status().code(), EPROTO) << text;
    EXPECT_NE(answer.status().message().find(why), std::string::npos)
        << text << answer.status().message();
  }
  EXPECT_EQ(ParseAnswerHead("{\"status\":200").status().code(), EPROTO);
  EXPECT_EQ(ParseAnswerHead(std::string(5000, '[')).status().code(), EPROTO);
  EXPECT_TRUE(ParseAnswerHead("{\"status\":200}").ok());
}

}  // namespace
}  // namespace usetl::gateway
