// Configurations of networks: which file counts, what is taken from it, what is refused.
#include "cri/network/cni_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/temporary_directory.h"

namespace usetl::cri {
namespace {

constexpr char kList[] = R"({"cniVersion": "0.4.0", "name": "net", "plugins": [
  {"type": "bridge", "capabilities": {"portMappings": true, "dns": false}, "x": 7},
  {"type": "portmap"}]})";

TEST(CniConfig, List) {
  const Result<CniConfig> config = ParseCniConfig(kList);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->name, "net");
  EXPECT_EQ(config->version, "0.4.0");
  EXPECT_FALSE(config->disable_check);
  ASSERT_EQ(config->plugins.size(), 2u);
  EXPECT_EQ(config->plugins[0].type, "bridge");
  EXPECT_EQ(config->plugins[0].capabilities, std::set<std::string>{"portMappings"});
  EXPECT_FALSE(config->plugins[0].config.contains("capabilities"));
  EXPECT_EQ(config->plugins[0].config["x"], 7);
  EXPECT_EQ(config->text, kList);
}

TEST(CniConfig, SinglePluginIsAListOfOne) {
  const auto config = ParseCniConfig(R"({"cniVersion":"1.0.0","name":"n","type":"ptp","mtu":9})");
  ASSERT_TRUE(config.ok()) << config.status().message();
  ASSERT_EQ(config->plugins.size(), 1u);
  EXPECT_EQ(config->plugins[0].type, "ptp");
  EXPECT_EQ(config->plugins[0].config["mtu"], 9);
}

TEST(CniConfig, HighestVersionThatIsKnown) {
  const auto config =
      ParseCniConfig(R"({"cniVersion":"0.3.1","cniVersions":["1.1.0","9.0.0","1.0.0"],
    "name":"n","disableCheck":"true","plugins":[{"type":"ptp"}]})");
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->version, "1.1.0");
  EXPECT_TRUE(config->disable_check);
  EXPECT_TRUE(config->AtLeast(1, 1));
  EXPECT_FALSE(ParseCniConfig(kList)->AtLeast(1, 1));
}

TEST(CniConfig, Refused) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  for (const std::string& text : {
           std::string(),
           std::string("[]"),
           std::string("nonsense"),
           deep,
           std::string(kMaxCniDocument + 1, ' '),
           std::string(R"({"name":"n","plugins":[{"type":"a"}]})"),
           std::string(R"({"cniVersion":"0.2.0","name":"n","plugins":[{"type":"a"}]})"),
           std::string(R"({"cniVersion":1,"name":"n","plugins":[{"type":"a"}]})"),
           std::string(R"({"cniVersion":"1.0.0","plugins":[{"type":"a"}]})"),
           std::string(R"({"cniVersion":"1.0.0","name":"../n","plugins":[{"type":"a"}]})"),
           std::string(R"({"cniVersion":"1.0.0","name":"n"})"),
           std::string(R"({"cniVersion":"1.0.0","name":"n","plugins":[]})"),
           std::string(R"({"cniVersion":"1.0.0","name":"n","plugins":{}})"),
           std::string(R"({"cniVersion":"1.0.0","name":"n","plugins":["a"]})"),
           std::string(R"({"cniVersion":"1.0.0","name":"n","plugins":[{"type":"../sh"}]})"),
           std::string(R"({"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a\u0000b"}]})"),
           std::string(R"({"cniVersion":"1.0.0","name":"n","plugins":[{"type":""}]})"),
           std::string(R"({"cniVersion":"1.0.0","name":"n","type":"a","capabilities":[1]})"),
           std::string(R"({"cniVersion":"1.0.0","name":"n","type":"a","capabilities":{"x":1}})"),
           std::string(R"({"cniVersion":"1.0.0","name":"n","type":"a","disableCheck":3})"),
       }) {
    EXPECT_EQ(ParseCniConfig(text).status().code(), EBADMSG) << text.substr(0, 100);
  }
}

class Directory : public testing::Test {
 protected:
  void Write(const std::string& file, const std::string& text) {
    std::ofstream(path + "/" + file) << text;
  }
  static std::string Named(const std::string& name) {
    return R"({"cniVersion":"1.0.0","name":")" + name + R"(","type":"ptp"})";
  }
  const test::TemporaryDirectory made;
  const std::string path = made.path();
};

TEST_F(Directory, FirstByName) {
  Write("00.txt", "no configuration");
  Write("20.conf", Named("second"));
  Write("10.conflist", Named("first"));
  CniDirectory directory(path);
  const auto config = directory.Get();
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ((*config)->name, "first");
}

TEST_F(Directory, ChangesAreSeen) {
  CniDirectory directory(path);
  EXPECT_EQ(directory.Get().status().code(), EHOSTUNREACH);
  Write("10.conf", Named("one"));
  EXPECT_EQ((*directory.Get())->name, "one");
  Write("10.conf", Named("two"));  // as long as the one before, at once
  EXPECT_EQ((*directory.Get())->name, "two");
  Write("05.json", Named("three"));
  EXPECT_EQ((*directory.Get())->name, "three");
  std::filesystem::remove_all(path);
  EXPECT_EQ(directory.Get().status().code(), EHOSTUNREACH);
}

TEST_F(Directory, KeepsWhatDidNotChange) {
  Write("10.conf", Named("one"));
  const auto old = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  std::filesystem::last_write_time(path + "/10.conf", old);
  std::filesystem::last_write_time(path, old);
  CniDirectory directory(path);
  const auto first = directory.Get();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*directory.Get(), *first);
}

TEST_F(Directory, ABadFileIsNotPassedOver) {
  Write("10.conf", "{");
  Write("20.conf", Named("good"));
  CniDirectory directory(path);
  const Status status = directory.Get().status();
  EXPECT_EQ(status.code(), EHOSTUNREACH);
  EXPECT_NE(status.message().find("10.conf"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace usetl::cri
