// HTTP/2, offered by ALPN, against a server of its own kind.
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include <filesystem>
#include <fstream>

#include "tests/etl/certificates.h"
#include "tests/etl/h2_server.h"
#include "tests/etl/harness.h"

namespace usetl::test {
namespace {

using abi::BodyKind;
using abi::HttpError;

class Http2Test : public EtlTest {
 protected:
  Http2Test() : directory_(Fresh(testing::TempDir() + "etl_http2")), authority_(directory_) {
    options.tls.extra_ca = authority_.path();
    std::filesystem::create_directory(directory_ + "/files");
    server_ =
        std::make_unique<H2Server>(directory_ + "/files", authority_.Issue("IP:127.0.0.1", 10));
  }
  void SetUp() override {
    ASSERT_TRUE(server_->running()) << "is nghttpd installed?";
    ASSERT_TRUE(options.policy.Allow(server_->Url("")).ok());
  }
  ~Http2Test() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }
  static std::string Fresh(const std::string& directory) {
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
    return directory;
  }
  std::string Serve(const std::string& name, const std::string& content) {
    std::ofstream(directory_ + "/files/" + name, std::ios::binary) << content;
    return server_->Url("/" + name);
  }

  std::string directory_;
  CertificateAuthority authority_;
  std::unique_ptr<H2Server> server_;
};

TEST_F(Http2Test, GetsABody) {
  const std::string content = Pattern(20 << 20);
  const Answer answer = Get(Serve("large", content));
  EXPECT_EQ(answer.error, HttpError::kNone) << (audit.empty() ? "" : audit[0].cause);
  EXPECT_EQ(answer.head.status, 200u);
  EXPECT_TRUE(answer.body == content);
  // This server refuses every other protocol, and names itself.
  EXPECT_NE(answer.headers.find("server: nghttpd"), std::string::npos) << answer.headers;
  EXPECT_EQ(answer.headers.find("HTTP/"), std::string::npos);
  EXPECT_EQ(Get(server_->Url("/none")).head.status, 404u);
  const Answer head = Fetch({.method = "HEAD", .url = server_->Url("/large")});
  EXPECT_EQ(head.head.status, 200u);
  EXPECT_NE(head.headers.find("content-length: " + std::to_string(content.size())),
            std::string::npos);
  EXPECT_EQ(head.head.entry, abi::kNoEntry);
}

TEST_F(Http2Test, SendsBodies) {
  const std::string content = Pattern(9 << 20);
  for (const size_t size : {size_t{0}, size_t{100}, content.size()}) {
    const Answer stored = Fetch({.method = "POST",
                                 .url = server_->Url("/echo"),
                                 .kind = BodyKind::kRegion,
                                 .body = content.substr(0, size)});
    EXPECT_EQ(stored.error, HttpError::kNone) << size;
    EXPECT_TRUE(stored.body == content.substr(0, size)) << size;
  }
  // Of unknown length, which HTTP/2 needs no chunks for.
  const uint64_t id =
      Send({.method = "PUT", .url = server_->Url("/echo"), .kind = BodyKind::kStream});
  SendBody(id, content.substr(0, 1 << 20), 0);
  Run([&] { return answers[id].done_bytes == 1 << 20; });
  SendBody(id, content.substr(1 << 20), 1 << 20);
  Post(abi::RecordType::kHttpBodyEnd, id);
  EXPECT_TRUE(Wait(id).body == content);
  EXPECT_EQ(proxy().counters().connections, 1u);
}

TEST_F(Http2Test, RunsRequestsOverOneConnection) {
  std::vector<std::string> urls;
  for (int i = 0; i < 24; ++i) {
    urls.push_back(Serve(std::to_string(i), Pattern(300'000, static_cast<uint8_t>(i))));
  }
  EXPECT_EQ(Get(urls[0]).head.status, 200u);
  std::vector<uint64_t> ids;
  for (int i = 0; i < 24; ++i) {
    const bool post = i % 3 == 0;
    ids.push_back(Send({.method = post ? "POST" : "GET",
                        .url = urls[i],
                        .kind = post ? BodyKind::kRegion : BodyKind::kNone,
                        .body = post ? Pattern(300'000, static_cast<uint8_t>(i)) : "",
                        .flags = i % 3 == 1 ? uint32_t{abi::kHttpStream} : 0}));
  }
  for (int i = 0; i < 24; ++i) {
    const Answer& answer = Wait(ids[i]);
    EXPECT_EQ(answer.error, HttpError::kNone) << i;
    EXPECT_TRUE(answer.body == Pattern(300'000, static_cast<uint8_t>(i))) << i;
  }
  EXPECT_EQ(proxy().counters().connections, 1u);
}

TEST_F(Http2Test, CancelsOneOfMany) {
  const std::string content = Pattern(48 << 20);
  const std::string url = Serve("large", content);
  EXPECT_EQ(Get(Serve("small", "small")).body, "small");
  // Waits for the end of its body, which never comes.
  const uint64_t sending =
      Send({.method = "POST", .url = server_->Url("/echo"), .kind = BodyKind::kStream});
  SendBody(sending, "begun", 0);
  const uint64_t stored = Send({.url = url});
  const uint64_t other = Send({.url = url});
  Run([&] { return answers[sending].done_bytes == 5; });
  for (const uint64_t id : {sending, stored}) {
    Post(abi::RecordType::kHttpCancel, id);
    EXPECT_EQ(answers[id].error, HttpError::kCancelled);
    EXPECT_EQ(answers[id].last_records, 1);
  }
  EXPECT_TRUE(Wait(other).body == content);
  EXPECT_EQ(Get(server_->Url("/small")).body, "small");
  EXPECT_EQ(proxy().counters().connections, 1u);
}

// A function that reads one answer slowly and asks the same server for more in between.
TEST_F(Http2Test, APausedAnswerHoldsNobodyBack) {
#ifdef __SANITIZE_ADDRESS__
  // libcurl 7.88 forgets what it kept of a paused answer that is cancelled (its issue 10971).
  const __lsan::ScopedDisabler leaks_of_libcurl;
#endif
  const std::string content = Pattern(48 << 20);
  const std::string url = Serve("large", content);
  Serve("small", "small");
  options.limits.stream_window = 256 << 10;
  auto_consume = false;
  const uint64_t slow = Send({.url = url, .flags = abi::kHttpStream});
  Run([&] { return answers[slow].unread; });
  RunFor(200);  // the window fills up
  EXPECT_EQ(Get(server_->Url("/small")).body, "small");
  const uint64_t given_up = Send({.url = url, .flags = abi::kHttpStream});
  Run([&] { return answers[given_up].unread; });
  Post(abi::RecordType::kHttpCancel, given_up);
  EXPECT_EQ(Get(server_->Url("/small")).body, "small");
  while (!answers[slow].finished) {
    Run([&] { return answers[slow].unread || answers[slow].finished; });
    Consume(slow);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_TRUE(answers[slow].body == content);
}

TEST_F(Http2Test, ReportsAServerThatGoes) {
  const std::string url = Serve("large", Pattern(48 << 20));
  options.limits.stream_window = 256 << 10;
  auto_consume = false;
  const uint64_t id = Send({.url = url, .flags = abi::kHttpStream});
  Run([&] { return answers[id].unread; });
  server_.reset();
  auto_consume = true;
  EXPECT_EQ(Wait(id).error, HttpError::kProtocol);
  EXPECT_EQ(Get(url).error, HttpError::kConnect);
}

}  // namespace
}  // namespace usetl::test
