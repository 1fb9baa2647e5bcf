// What plugins answer: addresses of a pod and errors.
#include "cri/network/cni_result.h"

#include <gtest/gtest.h>

namespace usetl::cri {
namespace {

using Addresses = std::vector<std::string>;

Result<Addresses> Parse(const char* text) {
  const auto result = ParseCniResult(text);
  if (!result.ok()) return result.status();
  return AddressesOf(*result);
}

TEST(CniResult, AddressesOfThePod) {
  const auto addresses = Parse(R"({"cniVersion":"1.0.0","interfaces":[
      {"name":"cni0"},{"name":"eth0","sandbox":"/run/netns/x"},{"name":"eth0"}],
    "ips":[{"address":"10.9.0.1/24","interface":0},{"address":"fd00::2/64","interface":1},
           {"address":"10.9.0.2/24","interface":1},{"address":"10.9.0.3/24","interface":2},
           {"address":"10.9.0.4/24"}]})");
  ASSERT_TRUE(addresses.ok()) << addresses.status().message();
  EXPECT_EQ(*addresses, (Addresses{"10.9.0.2", "10.9.0.4", "fd00::2"}));
}

TEST(CniResult, NoneIsNoError) {
  EXPECT_EQ(*Parse("{}"), Addresses());
  EXPECT_EQ(*Parse(R"({"ips":null,"interfaces":null})"), Addresses());
}

TEST(CniResult, Refused) {
  for (const char* text : {
           "",
           "[]",
           "{",
           R"({"ips":{}})",
           R"({"ips":[1]})",
           R"({"interfaces":3})",
           R"({"ips":[{"address":"10.0.0.1"}]})",
           R"({"ips":[{"address":"10.0.0.1/33"}]})",
           R"({"ips":[{"address":"10.0.0.1/"}]})",
           R"({"ips":[{"address":"10.0.0.1/8x"}]})",
           R"({"ips":[{"address":"10.0.0.1\u0000/8"}]})",
           R"({"ips":[{"address":"::1/129"}]})",
           R"({"ips":[{"address":7}]})",
           R"({"ips":[{"address":"10.0.0.1/8","interface":0}]})",
           R"({"ips":[{"address":"10.0.0.1/8","interface":-1}]})",
           R"({"interfaces":[3],"ips":[{"address":"10.0.0.1/8","interface":0}]})",
           R"({"interfaces":[{}],"ips":[{"address":"10.0.0.1/8","interface":"0"}]})",
       }) {
    EXPECT_EQ(Parse(text).status().code(), EBADMSG) << text;
  }
}

TEST(CniResult, TooManyAddresses) {
  nlohmann::json result = {{"ips", nlohmann::json::array()}};
  for (int i = 0; i < 65; ++i) result["ips"].push_back({{"address", "10.0.0.1/8"}});
  EXPECT_EQ(AddressesOf(result).status().code(), EBADMSG);
}

TEST(CniResult, ErrorsAreOneLine) {
  EXPECT_EQ(DescribeCniError(R"({"code":11,"msg":"try\nagain","details":"later"})", "noise", "x"),
            "try again; later (code 11)");
  EXPECT_EQ(DescribeCniError("garbage", "panic:\nno\n", "exit status 2"),
            "exit status 2: panic: no");
  EXPECT_EQ(DescribeCniError(R"({"msg":7})", "", "ended by signal 9"), "ended by signal 9");
  const std::string longer = R"({"msg":")" + std::string(100'000, 'a') + "\"}";
  EXPECT_LE(DescribeCniError(longer, "", "").size(), 1100u);
}

}  // namespace
}  // namespace usetl::cri
