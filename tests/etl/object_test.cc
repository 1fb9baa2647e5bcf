// file: URLs.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/etl/harness.h"

namespace usetl::test {
namespace {

namespace fs = std::filesystem;
using abi::BodyKind;
using abi::HttpError;

class ObjectTest : public EtlTest {
 protected:
  ObjectTest() : root_(testing::TempDir() + "etl_objects") {
    fs::remove_all(root_);
    fs::create_directories(root_ + "/store/sub");
    fs::create_directories(root_ + "/outside");
    Write("store/a.txt", "object a");
    Write("store/sub/b c", "object b");
    Write("outside/secret", "secret");
    fs::create_symlink("../outside/secret", root_ + "/store/escape");
    fs::create_symlink(root_ + "/outside/secret", root_ + "/store/absolute");
    fs::create_symlink("../outside", root_ + "/store/outdir");
    fs::create_symlink("a.txt", root_ + "/store/inside");
    mkfifo((root_ + "/store/fifo").c_str(), 0644);
    EXPECT_TRUE(options.objects.Add("rw", root_ + "/store", true).ok());
    EXPECT_TRUE(options.objects.Add("ro", root_ + "/store", false).ok());
  }
  ~ObjectTest() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& content) {
    std::ofstream(root_ + "/" + path) << content;
  }
  std::string ReadBack(const std::string& path) {
    std::ifstream file(root_ + "/" + path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  uint32_t Status(const char* method, const std::string& url, const std::string& body = "") {
    const bool with_body = std::string(method) == "PUT" || std::string(method) == "POST";
    const Answer answer = Fetch({.method = method,
                                 .url = url,
                                 .kind = with_body ? BodyKind::kRegion : BodyKind::kNone,
                                 .body = body});
    return answer.error == HttpError::kNone ? answer.head.status
                                            : 1000 + static_cast<uint32_t>(answer.error);
  }
  static uint32_t Error(HttpError error) { return 1000 + static_cast<uint32_t>(error); }

  std::string root_;
};

TEST_F(ObjectTest, Reads) {
  const Answer answer = Get("file:///rw/a.txt");
  EXPECT_EQ(answer.head.status, 200u);
  EXPECT_EQ(answer.body, "object a");
  EXPECT_EQ(answer.headers, "Content-Length: 8\r\n");
  EXPECT_EQ(Get("file:///ro/sub/b%20c").body, "object b");
  EXPECT_EQ(Get("file:///ro/inside").body, "object a");
  EXPECT_EQ(Get("file:///ro/sub/../a.txt").body, "object a");
  const Answer head = Fetch({.method = "HEAD", .url = "file:///ro/a.txt"});
  EXPECT_EQ(head.headers, "Content-Length: 8\r\n");
  EXPECT_EQ(head.body, "");
}

TEST_F(ObjectTest, ReadsAndStreamsLargeOnes) {
  const std::string content = Pattern(20'000'001);
  Write("store/large", content);
  EXPECT_TRUE(Get("file:///ro/large").body == content);
  options.limits.stream_window = 100'000;
  Open();
  EXPECT_TRUE(Get("file:///ro/large", abi::kHttpStream).body == content);
  EXPECT_EQ(Fetch({.url = "file:///ro/large", .max_body = 1000}).error, HttpError::kTooLarge);
}

TEST_F(ObjectTest, NeverLeavesItsDirectory) {
  for (const char* url : {"file:///rw/../outside/secret", "file:///rw/sub/../../outside/secret",
                          "file:///rw/escape", "file:///rw/absolute", "file:///rw/outdir/secret",
                          "file:///rw//etc/passwd", "file:///rw/%2e%2e/outside/secret"}) {
    const Answer answer = Get(url);
    EXPECT_EQ(answer.body, "") << url;
    EXPECT_TRUE(answer.head.status == 403 || answer.head.status == 404) << url;
  }
  for (const char* url : {"file:///rw/../outside/new", "file:///rw/outdir/new",
                          "file:///rw/sub/../../outside/new", "file:///rw/%2e%2e/outside/new"}) {
    EXPECT_GE(Status("PUT", url, "x"), 400u) << url;
  }
  EXPECT_GE(Status("DELETE", "file:///rw/outdir/secret"), 400u);
  EXPECT_EQ(Status("PUT", "file:///rw/escape", "x"), 204u);  // replaces the link itself
  EXPECT_EQ(ReadBack("outside/secret"), "secret");
  EXPECT_FALSE(fs::exists(root_ + "/outside/new"));
}

TEST_F(ObjectTest, Writes) {
  EXPECT_EQ(Status("PUT", "file:///rw/new", "1"), 201u);
  EXPECT_EQ(Status("PUT", "file:///rw/new", "22"), 204u);
  EXPECT_EQ(Status("POST", "file:///rw/deep/er/new", "333"), 201u);
  EXPECT_EQ(ReadBack("store/new"), "22");
  EXPECT_EQ(ReadBack("store/deep/er/new"), "333");
  const std::string content = Pattern(9'000'000);
  EXPECT_EQ(Status("PUT", "file:///rw/large", content), 201u);
  EXPECT_TRUE(ReadBack("store/large") == content);
  const uint64_t id =
      Send({.method = "PUT", .url = "file:///rw/streamed", .kind = BodyKind::kStream});
  SendBody(id, "abc", 0);
  SendBody(id, "def", 100);
  Post(abi::RecordType::kHttpBodyEnd, id);
  EXPECT_EQ(Wait(id).head.status, 201u);
  EXPECT_EQ(answers[id].done_bytes, 6u);
  EXPECT_EQ(ReadBack("store/streamed"), "abcdef");
  EXPECT_EQ(Status("DELETE", "file:///rw/new"), 204u);
  EXPECT_EQ(Status("DELETE", "file:///rw/new"), 404u);
}

TEST_F(ObjectTest, LeavesNothingOfCancelledWrites) {
  const uint64_t id =
      Send({.method = "PUT", .url = "file:///rw/sub/half", .kind = BodyKind::kStream});
  SendBody(id, "abc", 0);
  Post(abi::RecordType::kHttpCancel, id);
  EXPECT_EQ(answers[id].error, HttpError::kCancelled);
  EXPECT_EQ(std::distance(fs::directory_iterator(root_ + "/store/sub"), {}), 1);
}

TEST_F(ObjectTest, Refuses) {
  EXPECT_EQ(Status("GET", "file:///rw/none"), 404u);
  EXPECT_EQ(Status("GET", "file:///rw/sub"), 404u);
  EXPECT_EQ(Status("GET", "file:///rw/fifo"), 404u);
  EXPECT_EQ(Status("GET", "file:///rw/a.txt/x"), 404u);
  EXPECT_EQ(Status("PUT", "file:///rw/sub", "x"), 404u);
  EXPECT_EQ(Status("PUT", "file:///ro/x", "x"), 403u);
  EXPECT_EQ(Status("DELETE", "file:///ro/a.txt"), 403u);
  EXPECT_EQ(Status("PATCH", "file:///rw/a.txt"), 405u);
  EXPECT_EQ(Status("GET", "file:///unknown/x"), Error(HttpError::kDenied));
  for (const char* url :
       {"file:///rw", "file:///rw/", "file://rw/a.txt", "file:/etc/passwd", "file:///rw/%zz",
        "file:///rw/a%00", "file:///rw/..%2foutside/secret", "file:///rw/a?b", "file:///rw/a b"}) {
    EXPECT_EQ(Status("GET", url), Error(HttpError::kBadRequest)) << url;
  }
  EXPECT_FALSE(options.objects.Add("a/b", root_, false).ok());
  EXPECT_FALSE(options.objects.Add("..", root_, false).ok());
  EXPECT_FALSE(options.objects.Add("rw", root_, false).ok());
  EXPECT_FALSE(options.objects.Add("x", root_ + "/none", false).ok());
}

}  // namespace
}  // namespace usetl::test
