// Index, manifest and config: what is taken, and what is refused.
#include <gtest/gtest.h>

#include "cri/image/digest.h"
#include "cri/image/documents.h"

namespace usetl::image {
namespace {

using nlohmann::json;

const std::string kA = "sha256:" + std::string(64, 'a');
const std::string kB = "sha256:" + std::string(64, 'b');

json Part(const char* type, const std::string& digest = kA, uint64_t size = 10) {
  return {{"mediaType", type}, {"digest", digest}, {"size", size}};
}
json Item(const char* os, const char* architecture, const std::string& digest,
          const char* variant = "") {
  json item = Part(kOciManifest, digest);
  item["platform"] = {{"os", os}, {"architecture", architecture}, {"variant", variant}};
  return item;
}
json GoodManifest() {
  return {{"schemaVersion", 2},
          {"config", Part(kOciConfig)},
          {"layers", {Part(kOciLayer, kB), Part(kOciLayer, kA)}}};
}
json GoodConfig() {
  return {{"os", "linux"},
          {"architecture", "amd64"},
          {"rootfs", {{"type", "layers"}, {"diff_ids", {kA, kB}}}}};
}
Result<Descriptor> Choose(const json& items) {
  const auto index = ParseIndex(json{{"manifests", items}}.dump());
  return index.ok() ? ChoosePlatform(*index) : Result<Descriptor>(index.status());
}

TEST(Documents, Kinds) {
  const std::string manifest = GoodManifest().dump();
  EXPECT_EQ(*KindOf(manifest, ""), DocumentKind::kManifest);
  EXPECT_EQ(*KindOf(manifest, kDockerManifest), DocumentKind::kManifest);
  EXPECT_EQ(*KindOf(manifest, "text/plain"), DocumentKind::kManifest);
  EXPECT_EQ(*KindOf(R"({"schemaVersion":2,"manifests":[]})", kDockerIndex), DocumentKind::kIndex);
  for (const char* bad : {"", "[]", "{}", R"({"schemaVersion":2})", R"({"schemaVersion":"2"})",
                          R"({"schemaVersion":1,"layers":[]})",
                          R"({"schemaVersion":2,"layers":[],"manifests":[]})"}) {
    EXPECT_EQ(KindOf(bad, "").status().code(), EBADMSG) << bad;
  }
  EXPECT_EQ(KindOf(manifest, kOciIndex).status().code(), EBADMSG);
  json liar = GoodManifest();
  liar["mediaType"] = kDockerIndex;
  EXPECT_EQ(KindOf(liar.dump(), kOciManifest).status().code(), EBADMSG);
}

TEST(Documents, Platform) {
  EXPECT_EQ(Choose({Item("linux", "arm64", kA), Item("linux", "amd64", kB)})->digest, kB);
  EXPECT_EQ(Choose({Item("linux", "amd64", kA, "v3"), Item("linux", "amd64", kB, "v1")})->digest,
            kB);
  EXPECT_EQ(Choose(json::array({Item("windows", "amd64", kA)})).status().code(), ENOENT);
  EXPECT_EQ(Choose(json::array({Part(kOciManifest)}))->digest, kA);
  EXPECT_EQ(Choose({Part(kOciManifest), Part(kOciManifest, kB)}).status().code(), ENOENT);
  EXPECT_EQ(Choose(json::array()).status().code(), ENOENT);
  EXPECT_EQ(Choose(json::array({7})).status().code(), EBADMSG);
  EXPECT_EQ(Choose(7).status().code(), EBADMSG);
}

TEST(Documents, ManifestRoundTrip) {
  const Result<Manifest> manifest = ParseManifest(GoodManifest().dump());
  ASSERT_TRUE(manifest.ok()) << manifest.status().message();
  ASSERT_EQ(manifest->layers.size(), 2u);
  EXPECT_EQ(manifest->layers[0].digest, kB);
  EXPECT_EQ(*manifest->TotalSize(30), 30u);
  EXPECT_EQ(manifest->TotalSize(29).status().code(), EBADMSG);
  const Result<Manifest> again = ParseManifest(MakeManifest(*manifest));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->layers[1].digest, kA);
  EXPECT_EQ(again->config.size, 10u);
}

TEST(Documents, SizesDoNotWrap) {
  json document = GoodManifest();
  document["layers"] = json::array();
  for (int i = 0; i < 8; ++i) {
    document["layers"].push_back(Part(kOciLayer, kA, uint64_t{1} << 62));
  }
  const Result<Manifest> manifest = ParseManifest(document.dump());
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(manifest->TotalSize(~uint64_t{0}).status().code(), EBADMSG);
}

TEST(Documents, BadManifests) {
  const auto refused = [](const std::function<void(json*)>& change) {
    json document = GoodManifest();
    change(&document);
    return ParseManifest(document.dump()).status().code() == EBADMSG;
  };
  EXPECT_TRUE(refused([](json* m) { m->erase("config"); }));
  EXPECT_TRUE(refused([](json* m) { (*m)["layers"] = "x"; }));
  EXPECT_TRUE(refused([](json* m) { (*m)["layers"][0]["digest"] = "sha256:../../etc/passwd"; }));
  EXPECT_TRUE(
      refused([](json* m) { (*m)["layers"][0]["digest"] = "sha512:" + std::string(64, 'a'); }));
  EXPECT_TRUE(refused([](json* m) { (*m)["layers"][0]["size"] = -1; }));
  EXPECT_TRUE(refused([](json* m) { (*m)["layers"][0]["size"] = 1.5; }));
  EXPECT_TRUE(refused([](json* m) { (*m)["layers"][0]["size"] = uint64_t{1} << 63; }));
  EXPECT_TRUE(
      refused([](json* m) { (*m)["layers"][0]["mediaType"] = "application/x-executable"; }));
  EXPECT_TRUE(refused([](json* m) { (*m)["config"]["mediaType"] = "application/vnd.other"; }));
  EXPECT_TRUE(refused([](json* m) { (*m)["config"]["size"] = kMaxDocument + 1; }));
  EXPECT_TRUE(refused([](json* m) {
    for (size_t i = 0; i < kMaxLayers; ++i) (*m)["layers"].push_back(Part(kOciLayer));
  }));
  EXPECT_EQ(ParseManifest(std::string(kMaxDocument + 1, ' ')).status().code(), EBADMSG);
  EXPECT_EQ(ParseManifest(std::string(100000, '[')).status().code(), EBADMSG);
}

TEST(Documents, Config) {
  json document = GoodConfig();
  document["config"] = {{"Entrypoint", {"/a"}},   {"Cmd", {"b", "c"}},
                        {"Env", {"X=1"}},         {"WorkingDir", "/w"},
                        {"User", "u:g"},          {"StopSignal", "SIGINT"},
                        {"Labels", {{"k", "v"}}}, {"ExposedPorts", {{"8080/tcp", json::object()}}}};
  const Result<ImageConfig> config = ParseConfig(document.dump());
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->entrypoint, std::vector<std::string>{"/a"});
  EXPECT_EQ(config->command, (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(config->environment, std::vector<std::string>{"X=1"});
  EXPECT_EQ(config->working_directory, "/w");
  EXPECT_EQ(config->user, "u:g");
  EXPECT_EQ(config->stop_signal, "SIGINT");
  EXPECT_EQ(config->labels.at("k"), "v");
  EXPECT_EQ(config->exposed_ports, std::vector<std::string>{"8080/tcp"});
  EXPECT_EQ(config->ChainId(), DigestOf(kA + " " + kB));
  EXPECT_EQ(config->json, document.dump());
}

TEST(Documents, ConfigWithNulls) {
  json document = GoodConfig();
  document["config"] = {{"Entrypoint", nullptr}, {"Labels", nullptr}, {"ExposedPorts", nullptr}};
  EXPECT_TRUE(ParseConfig(document.dump()).ok());
  document["config"] = nullptr;
  document["rootfs"]["diff_ids"] = nullptr;
  const Result<ImageConfig> config = ParseConfig(document.dump());
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->ChainId(), "");
}

TEST(Documents, BadConfigs) {
  const auto refused = [](const std::function<void(json*)>& change) {
    json document = GoodConfig();
    change(&document);
    return ParseConfig(document.dump()).status().code() == EBADMSG;
  };
  EXPECT_TRUE(refused([](json* c) { (*c)["architecture"] = "arm64"; }));
  EXPECT_TRUE(refused([](json* c) { (*c)["os"] = 7; }));
  EXPECT_TRUE(refused([](json* c) { c->erase("rootfs"); }));
  EXPECT_TRUE(refused([](json* c) { (*c)["rootfs"]["type"] = "other"; }));
  EXPECT_TRUE(refused([](json* c) { (*c)["rootfs"]["diff_ids"][0] = "x"; }));
  EXPECT_TRUE(refused([](json* c) { (*c)["config"] = {{"Env", "X=1"}}; }));
  EXPECT_TRUE(refused([](json* c) { (*c)["config"] = {{"Cmd", {1}}}; }));
  EXPECT_TRUE(refused([](json* c) { (*c)["config"] = {{"Cmd", {std::string("a\0b", 3)}}}; }));
  EXPECT_TRUE(refused([](json* c) { (*c)["config"] = {{"Labels", {{"k", 1}}}}; }));
}

}  // namespace
}  // namespace usetl::image
