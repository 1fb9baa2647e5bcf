// pack_fixture.h: a temporary directory, a tree in it and the pack made of that.
#ifndef USETL_TESTS_UNIT_PACK_FIXTURE_H_
#define USETL_TESTS_UNIT_PACK_FIXTURE_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "vmm/pack/pack_reader.h"
#include "vmm/pack/pack_writer.h"

namespace usetl::pack {

namespace fs = std::filesystem;

class PackTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/pack_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    pack_ = directory_ / "out.pack";
  }
  void TearDown() override { fs::remove_all(directory_); }

  void Put(const std::string& path, const std::string& content) {
    fs::create_directories((directory_ / "root" / path).parent_path());
    std::ofstream(directory_ / "root" / path) << content;
  }
  Result<Pack> PackDirectory(const SourceOptions& options = {}) {
    PackTree tree;
    USETL_RETURN_IF_ERROR(AddDirectory(directory_ / "root", options, &tree));
    return WriteAndOpen(tree);
  }
  Result<Pack> WriteAndOpen(const PackTree& tree) {
    Result<PackSummary> summary = WritePack(tree, pack_, {});
    if (!summary.ok()) return summary.status();
    return OpenPack(pack_, true);
  }
  static std::string Text(const Pack& pack, const char* path) {
    const abi::PackEntry* entry = pack.Find(path);
    if (entry == nullptr) return "(none)";
    const auto content = pack.Content(*entry);
    return {content.begin(), content.end()};
  }

  fs::path directory_;
  fs::path pack_;
};

}  // namespace usetl::pack

#endif  // USETL_TESTS_UNIT_PACK_FIXTURE_H_
