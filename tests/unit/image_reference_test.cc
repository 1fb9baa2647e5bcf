// Names of images, and what registries say of credentials.
#include <gtest/gtest.h>

#include "cri/image/challenge.h"
#include "cri/image/reference.h"

namespace usetl::image {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string Full(std::string_view text) {
  const Result<Reference> reference = Reference::Parse(text);
  return reference.ok() ? reference->Text() : "(error)";
}

TEST(Reference, ShortNamesAreCompleted) {
  EXPECT_EQ(Full("busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(Full("busybox:1.36"), "docker.io/library/busybox:1.36");
  EXPECT_EQ(Full("team/app"), "docker.io/team/app:latest");
  EXPECT_EQ(Full("docker.io/busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(Full("index.docker.io/busybox"), "docker.io/library/busybox:latest");
  EXPECT_EQ(Full("localhost/app"), "localhost/app:latest");
  EXPECT_EQ(Full("localhost:5000"), "docker.io/library/localhost:5000");
  EXPECT_EQ(Full("Host/app"), "Host/app:latest");
  EXPECT_EQ(Full("a.b/c/d/e:T_1"), "a.b/c/d/e:T_1");
  EXPECT_EQ(Full("[::1]:5000/a"), "[::1]:5000/a:latest");
}

TEST(Reference, ADigestSaysItAll) {
  const Result<Reference> reference = Reference::Parse("localhost:5000/a/b:tag@" + kDigest);
  ASSERT_TRUE(reference.ok());
  EXPECT_EQ(reference->domain, "localhost:5000");
  EXPECT_EQ(reference->path, "a/b");
  EXPECT_EQ(reference->tag, "");
  EXPECT_EQ(reference->TagOrDigest(), kDigest);
  EXPECT_EQ(reference->Text(), "localhost:5000/a/b@" + kDigest);
}

TEST(Reference, Components) {
  for (const char* good : {"a-b", "a--b", "a_b", "a__b", "a.b/c", "0", "a/b_c.d-e"}) {
    EXPECT_NE(Full(good), "(error)") << good;
  }
  for (const char* bad :
       {"a___b",      "a..b",     "-a",     "a-",      "a._b",  "a//b",         "/a",
        "a/",         "A",        "a/B",    "a b",     "a:",    "a:.b",         "a@",
        "a@sha256:1", "a@md5:00", "a:b:c",  "x.y:0/a", "",      "x.y:65536/a",  "-x.y/a",
        "x-.y/a",     "x..y/a",   "[::1/a", "[x]/a",   "[::1]", "http://x.y/a", "x.y/../a",
        "x.y/a?b",    "x.y/a%2f", "a\n",    "\xc3\xa4"}) {
    EXPECT_EQ(Full(bad), "(error)") << bad;
  }
}

TEST(Reference, IsBounded) {
  EXPECT_NE(Full("a:" + std::string(128, 't')), "(error)");
  EXPECT_EQ(Full("a:" + std::string(129, 't')), "(error)");
  EXPECT_NE(Full("a.b/" + std::string(251, 'p')), "(error)");
  EXPECT_EQ(Full("a.b/" + std::string(252, 'p')), "(error)");
  EXPECT_EQ(Full(std::string(1 << 20, 'a')), "(error)");
  EXPECT_EQ(Full(std::string(64, 'a')), "(error)");  // an id
  EXPECT_EQ(Full(kDigest), "(error)");               // too
  EXPECT_EQ(Full("a@sha256:" + std::string(64, 'A')), "(error)");
}

TEST(Reference, SaysWhatANameIs) {
  EXPECT_EQ(Reference::Parse("Team/Function").status().message(),
            "image name \"Team/Function\": a repository has lower-case letters and digits, and "
            "\".\", \"_\", \"-\", \"/\" between them");
  EXPECT_EQ(Reference::Parse(kDigest).status().message(),
            "image name \"" + std::string(kDigest) + "\": is an id; NAME:TAG is wanted");
}

TEST(Reference, Loopback) {
  for (const char* host :
       {"localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:1", "[::1]:5000"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host : {"localhost.x", "127.0.0.1.x", "128.0.0.1", "[::2]", "x", "0127.0.0.1"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
  EXPECT_NE(Reference::Parse("a")->Host(), Reference::Parse("a")->domain);
  EXPECT_EQ(Reference::Parse("x.y:1/a")->Host(), "x.y:1");
}

TEST(Challenge, Several) {
  const auto all = ParseChallenges(
      "Bearer realm=\"https://a/t\", service=b ,scope=\"x,\\\"y\", Negotiate, BASIC realm=\"\"");
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].scheme, "bearer");
  EXPECT_EQ(all[0].parameters.at("realm"), "https://a/t");
  EXPECT_EQ(all[0].parameters.at("service"), "b");
  EXPECT_EQ(all[0].parameters.at("scope"), "x,\"y");
  EXPECT_EQ(all[1].scheme, "negotiate");
  EXPECT_EQ(all[2].scheme, "basic");
}

TEST(Challenge, Malformed) {
  EXPECT_TRUE(ParseChallenges("").empty());
  EXPECT_TRUE(ParseChallenges("=x").empty());
  EXPECT_TRUE(ParseChallenges(std::string(kMaxChallenge + 1, 'a')).empty());
  EXPECT_TRUE(ParseChallenges("Bearer realm=\"open").front().parameters.empty());
  EXPECT_EQ(ParseChallenges("Bearer a=1 \x01 b=2").size(), 1u);
}

}  // namespace
}  // namespace usetl::image
