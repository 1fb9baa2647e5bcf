#include <map>
#include <set>

#include "tests/unit/pack_fixture.h"
#include "vmm/pack/merged_tree.h"

namespace usetl::pack {
namespace {

using abi::PackType;

// A name in a layer, in the directory that was named last (or the root's).
struct Node {
  const char* path;
  PackType type;
  const char* text = "";
};

class MergedTreeTest : public PackTest {
 protected:
  void AddLayer(std::initializer_list<Node> nodes) {
    PackTree tree;
    std::map<std::string, uint32_t> directories = {{"", PackTree::kRoot}};
    for (const Node& node : nodes) {
      const fs::path path = node.path;
      PackInode inode;
      inode.type = node.type;
      inode.mode = 0750;
      if (node.type == PackType::kSymlink) inode.target = node.text;
      const uint32_t number = tree.AddName(directories.at(path.parent_path()),
                                           path.filename().string(), tree.AddInode(inode));
      directories[path] = number;
    }
    Result<Pack> pack = WriteAndOpen(tree);
    ASSERT_TRUE(pack.ok()) << pack.status().message();
    layers_.push_back(std::move(*pack));
  }
  // Paths below `entry`; a directory's ends with '/'.
  static void List(const MergedEntry& entry, const std::string& path, std::set<std::string>* to) {
    for (const auto& [name, child] : entry.children()) {
      const std::string below = path + std::string(name);
      EXPECT_EQ(entry.Child(name).has_value(), true) << below;
      EXPECT_EQ(entry.Child(name)->children().size(), child.children().size()) << below;
      to->insert(below + (child.is_directory() ? "/" : child.is_link() ? "@" : ""));
      List(child, below + "/", to);
    }
  }
  std::set<std::string> Listed() const {
    std::set<std::string> listed;
    List(MergedEntry::Root(layers_), "", &listed);
    return listed;
  }
  int CodeOf(std::string_view path) const {
    return FindBelow(MergedEntry::Root(layers_), path).status().code();
  }

  std::vector<Pack> layers_;
};

TEST_F(MergedTreeTest, IsEmptyWithoutLayers) {
  EXPECT_TRUE(Listed().empty());
  EXPECT_TRUE(MergedEntry::Root(layers_).is_directory());
  EXPECT_EQ(CodeOf("a"), ENOENT);
}

TEST_F(MergedTreeTest, HigherLayersHideLowerOnes) {
  AddLayer({{"a", PackType::kDirectory},
            {"a/gone", PackType::kRegular},
            {"a/stays", PackType::kRegular},
            {"b", PackType::kDirectory},
            {"b/old", PackType::kRegular},
            {"c", PackType::kDirectory},
            {"c/below", PackType::kRegular},
            {"d", PackType::kRegular},
            {"e", PackType::kDirectory},
            {"e/before", PackType::kRegular}});
  AddLayer({{"a", PackType::kDirectory},
            {"a/gone", PackType::kWhiteout},
            {"a/never", PackType::kWhiteout},
            {"b", PackType::kOpaqueDirectory},
            {"b/new", PackType::kRegular},
            {"c", PackType::kSymlink, "b"},
            {"d", PackType::kDirectory},
            {"d/within", PackType::kRegular},
            {"e", PackType::kWhiteout}});
  AddLayer({{"e", PackType::kDirectory}, {"e/after", PackType::kRegular}});
  EXPECT_EQ(Listed(), (std::set<std::string>{"a/", "a/stays", "b/", "b/new", "c@", "d/", "d/within",
                                             "e/", "e/after"}));
  EXPECT_EQ(CodeOf("a/gone"), ENOENT);
  EXPECT_EQ(CodeOf("e/before"), ENOENT);
}

TEST_F(MergedTreeTest, FollowsLinksThatStay) {
  AddLayer({{"a", PackType::kDirectory},
            {"a/b", PackType::kDirectory},
            {"a/b/file", PackType::kRegular},
            {"a/up", PackType::kSymlink, ".././a//b/"},
            {"short", PackType::kSymlink, "a/up/file"}});
  Result<MergedEntry> found = FindBelow(MergedEntry::Root(layers_), "short");
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_FALSE(found->is_directory() || found->is_link());
  found = FindBelow(MergedEntry::Root(layers_), "a/up/");
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_TRUE(found->Child("file").has_value());
  EXPECT_EQ(found->mode(), 0750);
  EXPECT_TRUE(FindBelow(MergedEntry::Root(layers_), "")->Child("short").has_value());
}

TEST_F(MergedTreeTest, RefusesWhatLeavesOrNeverEnds) {
  AddLayer({{"a", PackType::kDirectory},
            {"a/out", PackType::kSymlink, "../../a"},
            {"a/root", PackType::kSymlink, "/a"},
            {"a/loop", PackType::kSymlink, "loop"},
            {"a/twice", PackType::kSymlink, "twice/twice"},
            {"a/file", PackType::kRegular}});
  for (const char* path : {"a/out", "a/root", "a/loop", "a/twice", "a/file/x", "..", "a/../.."}) {
    EXPECT_EQ(CodeOf(path), EINVAL) << path;
  }
  EXPECT_EQ(CodeOf("a/none/x"), ENOENT);
}

}  // namespace
}  // namespace usetl::pack
