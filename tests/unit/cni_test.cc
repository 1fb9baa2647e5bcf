// Chains of plugins: order, results handed on, capabilities, undoing.
#include "cri/network/cni.h"

#include "cni_fixture.h"
#include "cri/network/runtime_config.h"

namespace usetl::cri {
namespace {

using nlohmann::json;

constexpr char kConfig[] = R"({"cniVersion":"1.0.0","name":"net","plugins":[
  {"type":"one","capabilities":{"portMappings":true,"bandwidth":false}},
  {"type":"two","capabilities":{"bandwidth":true},"prevResult":{"forged":1}}]})";
constexpr char kAnswer[] =
    R"(echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.7/24"}],"by":"NAME"}')";

class CniChain : public PluginCase {
 protected:
  void SetUp() override {
    PluginCase::SetUp();
    Write("conf/10.conflist", kConfig);
    for (const char* name : {"one", "two"}) Plugin(name, Answering(name));
    record.set_id("0123456789abcdef0123");
    record.set_network_namespace(path + "/conf");  // any path that exists
    auto& pod = *record.mutable_config();
    pod.mutable_metadata()->set_name("pod");
    pod.mutable_metadata()->set_namespace_("default");
    pod.mutable_metadata()->set_uid("u-1");
    auto& port = *pod.add_port_mappings();
    port.set_host_port(8080);
    port.set_container_port(80);
    pod.add_port_mappings()->set_container_port(81);
    (*pod.mutable_annotations())["kubernetes.io/ingress-bandwidth"] = "10M";
  }
  // Notes what it was called with, then does `then`.
  std::string Noting(const std::string& name, const std::string& then) {
    return "echo $CNI_COMMAND " + name + " $CNI_NETNS >>" + path + "/log; cat >" + path + "/" +
           name + ".$CNI_COMMAND; " + then;
  }
  std::string Answering(const std::string& name) {
    std::string answer = kAnswer;
    answer.replace(answer.find("NAME"), 4, name);
    return Noting(name, answer);
  }
  // As a pod is attached: what was made goes after an error.
  Status Attach(Cni* cni) {
    USETL_RETURN_IF_ERROR(cni->Choose(&record));
    const Status added = cni->Add(&record);
    if (!added.ok()) undone = cni->Delete(&record);
    return added;
  }
  json Input(const std::string& file) { return json::parse(Read(file)); }
  std::string Log() {
    std::string log = Read("log");
    for (size_t at; (at = log.find(" " + path + "/conf")) != std::string::npos;) {
      log.erase(at, path.size() + 6);
    }
    return log;
  }

  SandboxRecord record;
  Status undone;
};

TEST_F(CniChain, AddAndDelete) {
  Cni cni(CniOptions{path + "/conf", {path + "/bin"}});
  const Status added = Attach(&cni);
  ASSERT_TRUE(added.ok()) << added.message();
  ASSERT_EQ(record.addresses_size(), 1);
  EXPECT_EQ(record.addresses(0), "10.0.0.7");
  EXPECT_EQ(record.network_config(), kConfig);
  EXPECT_EQ(json::parse(record.network_result())["by"], "two");

  const json one = Input("one.ADD"), two = Input("two.ADD");
  EXPECT_EQ(one["cniVersion"], "1.0.0");
  EXPECT_EQ(one["name"], "net");
  EXPECT_FALSE(one.contains("capabilities"));
  EXPECT_FALSE(one.contains("prevResult"));
  EXPECT_EQ(one["runtimeConfig"].size(), 1u);
  EXPECT_EQ(one["runtimeConfig"]["portMappings"],
            json::parse(R"([{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":""}])"));
  EXPECT_EQ(two["prevResult"]["by"], "one");
  EXPECT_EQ(two["runtimeConfig"],
            json::parse(R"({"bandwidth":{"ingressRate":10000000,"ingressBurst":4294967295}})"));

  // What the directory says by now does not count.
  Write("conf/10.conflist", R"({"cniVersion":"1.0.0","name":"other","type":"missing"})");
  ASSERT_TRUE(cni.Check(record, [] { return false; }).ok());
  EXPECT_EQ(cni.Check(record, [] { return true; }).status().code(), ECANCELED);
  ASSERT_TRUE(cni.Delete(&record).ok());
  EXPECT_EQ(Input("one.DEL")["prevResult"]["by"], "two");
  EXPECT_EQ(Input("one.DEL")["name"], "net");
  EXPECT_TRUE(Log().starts_with("ADD one\nADD two\nCHECK one\nCHECK two\n")) << Log();
  EXPECT_TRUE(Log().ends_with("DEL two\nDEL one\n")) << Log();
  EXPECT_TRUE(record.network_config().empty());
  EXPECT_TRUE(record.network_result().empty());
  EXPECT_EQ(record.addresses_size(), 0);
  ASSERT_TRUE(cni.Delete(&record).ok());
}

TEST_F(CniChain, FailureUndoesAll) {
  Plugin("two", Noting("two", "[ $CNI_COMMAND = DEL ] || { echo '{\"msg\":\"no\"}'; exit 1; }"));
  Cni cni(CniOptions{path + "/conf", {path + "/bin"}});
  EXPECT_EQ(Attach(&cni).message(), "network plugin two, ADD: no");
  EXPECT_EQ(Log(), "ADD one\nADD two\nDEL two\nDEL one\n");
  EXPECT_TRUE(record.network_config().empty());
}

TEST_F(CniChain, WhatCannotBeUndoneIsKept) {
  Plugin("two", Noting("two", "exit 1"));
  Cni cni(CniOptions{path + "/conf", {path + "/bin"}});
  EXPECT_EQ(Attach(&cni).message(), "network plugin two, ADD: exit status 1");
  EXPECT_EQ(undone.message(), "network plugin two, DEL: exit status 1");
  EXPECT_EQ(Log(), "ADD one\nADD two\nDEL two\nDEL one\n");
  EXPECT_EQ(record.network_config(), kConfig);
  Plugin("two", Noting("two", ""));
  EXPECT_TRUE(cni.Delete(&record).ok());
  EXPECT_TRUE(record.network_config().empty());
}

TEST_F(CniChain, AnswersThatAreNone) {
  Cni cni(CniOptions{path + "/conf", {path + "/bin"}});
  Plugin("two", Noting("two", ""));
  EXPECT_EQ(Attach(&cni).message(), "network plugin two, ADD: the result is no JSON");
  Plugin("two", Noting("two", "echo '{}'"));
  EXPECT_EQ(Attach(&cni).message(), "network net gave the pod no address");
  EXPECT_TRUE(record.network_config().empty());
  EXPECT_EQ(record.addresses_size(), 0);
}

TEST_F(CniChain, DeleteWithoutTheNamespace) {
  Cni cni(CniOptions{path + "/conf", {path + "/bin"}});
  ASSERT_TRUE(Attach(&cni).ok());
  record.set_network_namespace(path + "/gone");
  ASSERT_TRUE(cni.Delete(&record).ok());
  EXPECT_EQ(Log(), "ADD one\nADD two\nDEL two\nDEL one\n");
}

TEST_F(CniChain, InstalledAsksNobody) {
  Cni cni(CniOptions{path + "/conf", {path + "/none", path + "/bin"}});
  EXPECT_TRUE(cni.Installed().ok());
  std::filesystem::remove(path + "/bin/two");
  EXPECT_EQ(cni.Installed().message(), "network plugin two is not in " + path + "/none:" + path +
                                           "/bin; install it, or name its directory (--cni-bin)");
  EXPECT_EQ(Log(), "");
  std::filesystem::remove_all(path + "/conf");
  EXPECT_EQ(cni.Installed().code(), EHOSTUNREACH);
}

TEST_F(CniChain, ReadyAsksPluginsThatCanSay) {
  Cni cni(CniOptions{path + "/conf", {path + "/bin"}});
  EXPECT_TRUE(cni.Ready().ok());
  EXPECT_EQ(Log(), "");  // 1.0.0 has no STATUS
  Write("conf/10.conflist", R"({"cniVersion":"1.1.0","name":"n","type":"one"})");
  Plugin("one", Noting("one", "echo '{\"code\":50,\"msg\":\"no controller\"}'; exit 1"));
  EXPECT_EQ(cni.Ready().message(), "network plugin one, STATUS: no controller (code 50)");
  EXPECT_EQ(Input("one.STATUS"), json::parse(R"({"cniVersion":"1.1.0","name":"n","type":"one"})"));
  std::filesystem::remove(path + "/conf/10.conflist");
  EXPECT_EQ(cni.Ready().code(), EHOSTUNREACH);
}

TEST_F(CniChain, NamesCannotAddArguments) {
  EXPECT_EQ(*CniArguments(record),
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod;"
            "K8S_POD_INFRA_CONTAINER_ID=0123456789abcdef0123;K8S_POD_UID=u-1");
  record.mutable_config()->mutable_metadata()->set_name("pod;IP=10.0.0.1");
  Cni cni(CniOptions{path + "/conf", {path + "/bin"}});
  EXPECT_EQ(Attach(&cni).code(), EINVAL);
  EXPECT_EQ(Log(), "");
  EXPECT_TRUE(record.network_config().empty());
}

TEST(RuntimeConfig, Bandwidth) {
  for (const auto& [text, rate] :
       std::initializer_list<std::pair<const char*, uint64_t>>{{"1", 1},
                                                               {"1k", 1000},
                                                               {"1.5Ki", 1536},
                                                               {"2e6", 2'000'000},
                                                               {"1P", 1'000'000'000'000'000},
                                                               {"", 0},
                                                               {"M", 0},
                                                               {"-1M", 0},
                                                               {"0", 0},
                                                               {"1X", 0},
                                                               {"inf", 0},
                                                               {"nan", 0},
                                                               {"2Pi", 0}}) {
    runtime::v1::PodSandboxConfig pod;
    (*pod.mutable_annotations())["kubernetes.io/egress-bandwidth"] = text;
    const auto config = RuntimeConfigOf(pod);
    EXPECT_EQ(config.ok(), rate != 0) << text;
    if (config.ok()) {
      EXPECT_EQ((*config)["bandwidth"]["egressRate"], rate);
    }
  }
}

TEST(RuntimeConfig, EverythingElse) {
  runtime::v1::PodSandboxConfig pod;
  EXPECT_EQ(*RuntimeConfigOf(pod), json::object());
  pod.mutable_dns_config()->add_servers("10.0.0.10");
  pod.mutable_linux()->set_cgroup_parent("/kubepods/x");
  (*pod.mutable_annotations())["a"] = "b";
  EXPECT_EQ(*RuntimeConfigOf(pod),
            json::parse(R"({"dns":{"servers":["10.0.0.10"]},"cgroupPath":"/kubepods/x",
                            "io.kubernetes.cri.pod-annotations":{"a":"b"}})"));
  auto& port = *pod.add_port_mappings();
  port.set_host_port(70000);
  port.set_container_port(80);
  EXPECT_EQ(RuntimeConfigOf(pod).status().code(), EINVAL);
}

}  // namespace
}  // namespace usetl::cri
