// A directory of plugins, which are shell scripts, for the tests of CNI.
#ifndef USETL_TESTS_UNIT_CNI_FIXTURE_H_
#define USETL_TESTS_UNIT_CNI_FIXTURE_H_

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/unit/temporary_directory.h"

namespace usetl::cri {

class PluginCase : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);  // as usetld does
    for (const char* sub : {"/conf", "/bin", "/other"}) {
      std::filesystem::create_directory(path + sub);
    }
  }

  void Write(const std::string& file, const std::string& text) {
    std::ofstream(path + "/" + file) << text;
  }
  void Plugin(const std::string& name, const std::string& script) {
    Write("bin/" + name, "#!/bin/sh\n" + script + "\n");
    chmod((path + "/bin/" + name).c_str(), 0755);
  }
  std::string Read(const std::string& file) {
    std::stringstream text;
    text << std::ifstream(path + "/" + file).rdbuf();
    return text.str();
  }

  const test::TemporaryDirectory made;
  const std::string path = made.path();
};

}  // namespace usetl::cri

#endif  // USETL_TESTS_UNIT_CNI_FIXTURE_H_
