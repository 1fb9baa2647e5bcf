// Plugins that misbehave, and what they are given.
#include "cri/network/cni_plugin.h"

#include <fcntl.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "cni_fixture.h"
#include "cri/network/cni_config.h"
#include "vmm/base/fd.h"

namespace usetl::cri {
namespace {

class CniPluginRun : public PluginCase {
 protected:
  Result<std::string> Run(const std::string& script, const std::string& input = "{}") {
    Plugin("fake", script);
    return RunCniPlugin(call(), "fake", input);
  }
  CniCall call(int milliseconds = 60'000) {
    return {"ADD",
            "id1",
            "/run/netns/x",
            "A=b;C=d",
            {path + "/other", path + "/bin"},
            std::chrono::milliseconds(milliseconds)};
  }
};

TEST_F(CniPluginRun, InputEnvironmentAnswer) {
  const auto answer = Run("cat; echo; env | grep CNI_ | sort", "{\"a\":1}");
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_EQ(*answer,
            "{\"a\":1}\nCNI_ARGS=A=b;C=d\nCNI_COMMAND=ADD\nCNI_CONTAINERID=id1\n"
            "CNI_IFNAME=eth0\nCNI_NETNS=/run/netns/x\nCNI_PATH=" +
                path + "/other:" + path + "/bin\n");
}

TEST_F(CniPluginRun, LargeInputAndAnswer) {
  const std::string large(1'000'000, 'x');
  const auto answer = Run("cat", large);
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_EQ(*answer, large);
}

TEST_F(CniPluginRun, InputThatNobodyReads) {
  const auto answer = Run("echo '{}'", std::string(1'000'000, 'x'));
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_EQ(*answer, "{}\n");
}

TEST_F(CniPluginRun, GetsNoDescriptorOfOurs) {
  const Fd leaked(open("/dev/null", O_RDONLY));  // without close-on-exec
  const Fd high(fcntl(leaked.get(), F_DUPFD, 200));
  // The shell's own script is the only one beyond the three.
  const auto answer = Run("for fd in /proc/$$/fd/*; do readlink $fd; done; true");
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_EQ(answer->find("/dev/null"), std::string::npos) << *answer;
}

TEST_F(CniPluginRun, SignalsAreAsUsual) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  const auto answer = Run("kill -TERM $$; echo survived");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(answer.status().message(), "network plugin fake, ADD: ended by signal 15");
}

TEST_F(CniPluginRun, Errors) {
  EXPECT_EQ(
      Run("echo '{\"code\":7,\"msg\":\"bad\",\"details\":\"mtu\"}'; exit 1").status().message(),
      "network plugin fake, ADD: bad; mtu (code 7)");
  EXPECT_EQ(Run("echo garbage; echo oh >&2; exit 3").status().message(),
            "network plugin fake, ADD: exit status 3: oh");
  const Status missing = RunCniPlugin(call(), "other", "{}").status();
  EXPECT_EQ(missing.code(), EIO);
  EXPECT_EQ(missing.message(),
            "network plugin other, ADD: is not in " + path + "/other:" + path + "/bin");
  Write("bin/plain", "no program");
  EXPECT_EQ(RunCniPlugin(call(), "plain", "{}").status().code(), EIO);
}

TEST_F(CniPluginRun, EndlessOutputIsCut) {
  const Status status = Run("exec cat /dev/zero").status();
  EXPECT_EQ(status.message(), "network plugin fake, ADD: answered more than 1 MB");
}

TEST_F(CniPluginRun, OfStderrTheEndIsKept) {
  const Status status = Run("yes noise | head -100000 >&2; echo the cause >&2; exit 1").status();
  EXPECT_LT(status.message().size(), 3000u);
}

TEST_F(CniPluginRun, HangingOneIsKilledWithItsChildren) {
  Plugin("hangs", "sleep 1000 & echo $! >" + path + "/child; echo waits >&2; wait");
  const Status status = RunCniPlugin(call(5000), "hangs", "{}").status();
  EXPECT_EQ(status.code(), ETIMEDOUT);
  EXPECT_EQ(status.message(), "network plugin hangs, ADD: took longer than 5000 ms: waits");
  // The signal is under way when the call returns, and whoever inherits the child may be slow to
  // reap it.
  const std::string stat = "/proc/" + Read("child").substr(0, Read("child").find('\n')) + "/stat";
  std::string state;
  for (int i = 0; i < 6000; ++i) {
    std::string number, name;
    state = "gone";
    std::ifstream(stat) >> number >> name >> state;
    if (state == "gone" || state == "Z") break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(state == "gone" || state == "Z") << state;
}

TEST_F(CniPluginRun, OneThatLeavesADaemonIsNotWaitedFor) {
  const auto answer = Run("sleep 1000 & echo $! >" + path + "/child; echo '{}'");
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_EQ(*answer, "{}\n");
  kill(std::stoi(Read("child")), SIGKILL);
}

}  // namespace
}  // namespace usetl::cri
