#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/unit/pack_fixture.h"

namespace usetl::pack {
namespace {

using abi::PackEntry;
using abi::PackType;

// Makes tar files entry by entry, also ones that no tar would make.
class Tar {
 public:
  explicit Tar(const fs::path& path, bool zstd = false)
      : path_(path), archive_(archive_write_new()) {
    archive_write_set_format_pax_restricted(archive_);
    if (zstd) archive_write_add_filter_zstd(archive_);
    archive_write_open_filename(archive_, path.c_str());
  }
  ~Tar() { archive_write_free(archive_); }
  Tar& Add(const char* name, mode_t type, const std::string& text = "", bool hard_link = false) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_perm(entry, 04755);
    archive_entry_set_uid(entry, 7);
    archive_entry_set_gid(entry, 8);
    archive_entry_set_mtime(entry, 5, 0);
    archive_entry_set_filetype(entry, type);
    if (hard_link) archive_entry_set_hardlink(entry, text.c_str());
    if (type == AE_IFLNK) archive_entry_set_symlink(entry, text.c_str());
    const bool content = type == AE_IFREG && !hard_link;
    if (content) archive_entry_set_size(entry, text.size());
    archive_write_header(archive_, entry);
    if (content) archive_write_data(archive_, text.data(), text.size());
    archive_entry_free(entry);
    return *this;
  }
  Status Into(PackTree* tree, const SourceOptions& options = {}) {
    archive_write_close(archive_);
    const Fd fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    return AddArchive(fd.get(), path_.parent_path(), options, tree);
  }

 private:
  fs::path path_;
  archive* archive_;
};

TEST_F(PackTest, KeepsADirectory) {
  Put("b/file", "hello");
  Put("b/empty", "");
  Put("b/large", std::string(3 << 20, 'x') + "end");
  Put("a", "first");
  Put("\xff", "last");
  fs::create_directory(directory_ / "root/c");
  fs::create_symlink("/b/file", directory_ / "root/link");
  fs::create_hard_link(directory_ / "root/a", directory_ / "root/b/hard");
  mkfifo((directory_ / "root/fifo").c_str(), 0600);
  chmod((directory_ / "root/a").c_str(), 04711);
  Result<Pack> pack = PackDirectory();
  ASSERT_TRUE(pack.ok()) << pack.status().message();
  EXPECT_EQ(Text(*pack, "b/file"), "hello");
  EXPECT_EQ(Text(*pack, "/b//empty"), "");
  EXPECT_EQ(Text(*pack, "b/large"), std::string(3 << 20, 'x') + "end");
  EXPECT_EQ(Text(*pack, "\xff"), "last");
  EXPECT_EQ(Text(*pack, "link"), "/b/file");
  EXPECT_EQ(pack->Find("link")->type, PackType::kSymlink);
  EXPECT_EQ(pack->Find("a")->mode, 04711);
  EXPECT_EQ(pack->Find("c")->size, 0u);
  EXPECT_EQ(pack->Find("fifo"), nullptr);
  EXPECT_EQ(pack->Find("b/file/x"), nullptr);
  EXPECT_EQ(pack->Find("bb"), nullptr);
  const PackEntry& hard = *pack->Find("b/hard");
  EXPECT_EQ(&pack->entries()[hard.hard_link], pack->Find("a"));
  EXPECT_EQ(hard.offset, pack->Find("a")->offset);
  EXPECT_EQ(pack->entries().size(), 10u);
}

TEST_F(PackTest, LeavesOutWhatIsExcluded) {
  Put("proc/1/status", "x");
  Put("processes", "kept");
  Put("usr/share/doc/a", "x");
  Put("usr/share/docs", "kept");
  Put("core", "x");
  SourceOptions options;
  options.exclude = {"proc", "usr/share/doc", "core"};
  Result<Pack> pack = PackDirectory(options);
  ASSERT_TRUE(pack.ok()) << pack.status().message();
  EXPECT_EQ(pack->Find("proc")->size, 0u);
  EXPECT_EQ(pack->Find("usr/share/doc")->size, 0u);
  EXPECT_EQ(Text(*pack, "processes"), "kept");
  EXPECT_EQ(Text(*pack, "usr/share/docs"), "kept");
  EXPECT_EQ(pack->Find("core"), nullptr);
}

TEST_F(PackTest, SameTreeGivesSamePack) {
  Put("x/y", "1");
  Put("z", "2");
  PackTree tree;
  ASSERT_TRUE(AddDirectory(directory_ / "root", {}, &tree).ok());
  const Result<PackSummary> first = WritePack(tree, pack_, {});
  const Result<PackSummary> second = WritePack(tree, pack_, {.sync = true});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->digest, second->digest);
}

TEST_F(PackTest, RewritesPrograms) {
  fs::create_directories(directory_ / "root");
  fs::copy_file("/lib/x86_64-linux-gnu/libc.so.6", directory_ / "root/libc");
  Result<Pack> pack = PackDirectory();
  ASSERT_TRUE(pack.ok()) << pack.status().message();
  EXPECT_GE(pack->header().rewritten_sites, 400u);
  EXPECT_EQ(pack->Find("libc")->size, fs::file_size(directory_ / "root/libc"));
}

TEST_F(PackTest, KeepsALayer) {
  PackTree tree;
  Tar tar(directory_ / "layer", true);
  tar.Add("./", AE_IFDIR).Add("./etc/", AE_IFDIR).Add("./etc/a", AE_IFREG, "one");
  tar.Add("etc/hard", AE_IFREG, "etc/a", true).Add("link", AE_IFLNK, "../../x");
  tar.Add("etc/a", AE_IFREG, "two").Add("/ko-app/deep/app", AE_IFREG, "app");
  tar.Add("gone/.wh.file", AE_IFREG).Add("etc/.wh..wh..opq", AE_IFREG);
  tar.Add(".wh.both", AE_IFREG).Add("both/", AE_IFDIR).Add("dev", AE_IFCHR);
  const Status status = tar.Into(&tree);
  ASSERT_TRUE(status.ok()) << status.message();
  Result<Pack> pack = WriteAndOpen(tree);
  ASSERT_TRUE(pack.ok()) << pack.status().message();
  EXPECT_EQ(Text(*pack, "etc/a"), "two");
  EXPECT_EQ(Text(*pack, "etc/hard"), "one");
  EXPECT_EQ(Text(*pack, "link"), "../../x");
  EXPECT_EQ(Text(*pack, "ko-app/deep/app"), "app");
  EXPECT_EQ(pack->Find("gone/file")->type, PackType::kWhiteout);
  EXPECT_EQ(pack->Find("gone")->type, PackType::kDirectory);
  EXPECT_EQ(pack->Find("etc")->type, PackType::kOpaqueDirectory);
  EXPECT_EQ(pack->Find("both")->type, PackType::kOpaqueDirectory);
  EXPECT_EQ(pack->Find("dev"), nullptr);
  EXPECT_EQ(pack->Find("etc/a")->mode, 04755);
  EXPECT_EQ(pack->Find("etc/a")->uid, 7u);
  EXPECT_EQ(pack->Find("etc/a")->modified_ns, 5'000'000'000u);
}

TEST_F(PackTest, RefusesHostileLayers) {
  const auto refused = [this](const std::function<void(Tar&)>& fill, SourceOptions options = {}) {
    PackTree tree;
    Tar tar(directory_ / "layer");
    fill(tar);
    return !tar.Into(&tree, options).ok();
  };
  EXPECT_TRUE(refused([](Tar& tar) { tar.Add("a/../../b", AE_IFREG, "x"); }));
  EXPECT_TRUE(refused([](Tar& tar) { tar.Add("..", AE_IFDIR); }));
  EXPECT_TRUE(refused([](Tar& tar) { tar.Add("a", AE_IFREG, "../etc/shadow", true); }));
  EXPECT_TRUE(refused([](Tar& tar) { tar.Add("a", AE_IFREG, "nothing", true); }));
  EXPECT_TRUE(refused([](Tar& tar) { tar.Add("d", AE_IFDIR).Add("a", AE_IFREG, "d", true); }));
  EXPECT_TRUE(refused([](Tar& tar) { tar.Add("a", AE_IFLNK, "/etc").Add("a/b", AE_IFREG); }));
  EXPECT_TRUE(refused([](Tar& tar) { tar.Add(".wh...", AE_IFREG); }));
  EXPECT_TRUE(refused([](Tar& tar) { tar.Add(std::string(300, 'n').c_str(), AE_IFREG); }));
  SourceOptions few;
  few.max_entries = 2;
  EXPECT_TRUE(refused([](Tar& tar) { tar.Add("a/b/c", AE_IFDIR); }, few));
  SourceOptions small;
  small.max_bytes = 10;
  EXPECT_TRUE(refused([](Tar& tar) { tar.Add("a", AE_IFREG, "12345678901"); }, small));
  std::ofstream(directory_ / "text") << std::string(2000, 'x');
  const Fd text(open((directory_ / "text").c_str(), O_RDONLY | O_CLOEXEC));
  PackTree tree;
  EXPECT_FALSE(AddArchive(text.get(), directory_, {}, &tree).ok());
}

TEST_F(PackTest, LeavesNothingAfterAnError) {
  Put("a", "text");
  PackTree tree;
  ASSERT_TRUE(AddDirectory(directory_ / "root", {}, &tree).ok());
  fs::remove(directory_ / "root/a");
  fs::create_symlink("/etc/passwd", directory_ / "root/a");
  EXPECT_FALSE(WritePack(tree, pack_, {}).ok());
  fs::remove(directory_ / "root/a");
  Put("a", "tex");
  EXPECT_FALSE(WritePack(tree, pack_, {}).ok());
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), {}), 1);
  EXPECT_EQ(WritePack(tree, directory_ / "no/such", {}).status().code(), ENOENT);
}

}  // namespace
}  // namespace usetl::pack
