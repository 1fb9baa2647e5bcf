#include <filesystem>

#include "tests/etl/certificates.h"
#include "tests/etl/harness.h"
#include "tests/etl/server.h"

namespace usetl::test {
namespace {

using abi::HttpError;

class TlsTest : public EtlTest {
 protected:
  TlsTest() : directory_(testing::TempDir() + "etl_tls"), authority_(Fresh(directory_)) {
    options.tls.extra_ca = authority_.path();
  }
  ~TlsTest() override { std::filesystem::remove_all(directory_); }
  static std::string Fresh(const std::string& directory) {
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
    return directory;
  }
  // What a GET from a server with this certificate ends with.
  HttpError ErrorWith(const ServerTls& tls) {
    Server server(
        Answering([](const std::string&, const std::string&) { return Reply("200 OK", "secure"); }),
        &tls);
    EXPECT_TRUE(options.policy.Allow(server.Origin()).ok());
    const Answer answer = Get(server.Url());
    if (answer.error == HttpError::kNone) {
      EXPECT_EQ(answer.body, "secure");
    }
    return answer.error;
  }

  std::string directory_;
  CertificateAuthority authority_;
};

TEST_F(TlsTest, AcceptsAGoodCertificate) {
  EXPECT_EQ(ErrorWith(authority_.Issue("IP:127.0.0.1", 10)), HttpError::kNone);
}

TEST_F(TlsTest, RefusesAnExpiredOne) {
  EXPECT_EQ(ErrorWith(authority_.Issue("IP:127.0.0.1", -1)), HttpError::kTls);
}

TEST_F(TlsTest, RefusesAnotherHost) {
  EXPECT_EQ(ErrorWith(authority_.Issue("DNS:example.com", 10)), HttpError::kTls);
}

TEST_F(TlsTest, RefusesASelfSignedOne) {
  EXPECT_EQ(ErrorWith(authority_.Issue("IP:127.0.0.1", 10, true)), HttpError::kTls);
}

TEST_F(TlsTest, RefusesAnUnknownAuthority) {
  options.tls.extra_ca.clear();
  EXPECT_EQ(ErrorWith(authority_.Issue("IP:127.0.0.1", 10)), HttpError::kTls);
}

TEST_F(TlsTest, RefusesWhatIsNotTls) {
  Server server([](Connection& connection) {
    connection.Read();
    connection.Send(Reply("400 Bad Request", "plain"));
  });
  const std::string url = "https" + server.Url().substr(4);
  ASSERT_TRUE(options.policy.Allow(url).ok());
  EXPECT_EQ(Get(url).error, HttpError::kTls);
}

TEST_F(TlsTest, NeverLeavesTls) {
  const ServerTls tls = authority_.Issue("IP:127.0.0.1", 10);
  Server plain(Answering([](const std::string&, const std::string&) { return Reply("200", "x"); }));
  Server server(Answering([&](const std::string&, const std::string&) {
                  return Reply("302 Found", "", "Location: " + plain.Url() + "\r\n");
                }),
                &tls);
  ASSERT_TRUE(options.policy.Allow(plain.Origin()).ok());
  ASSERT_TRUE(options.policy.Allow(server.Origin()).ok());
  EXPECT_EQ(Get(server.Url()).error, HttpError::kRedirects);
  EXPECT_EQ(plain.connections(), 0);
}

}  // namespace
}  // namespace usetl::test
