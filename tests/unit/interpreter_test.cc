// The file system of layered packs, and the Python in it.
#include "vmm/pool/interpreter.h"

#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "vmm/pack/pack_writer.h"

namespace usetl {
namespace {

using abi::PackType;
using pack::PackTree;

constexpr char kGlibc[] = "/lib64/ld-linux-x86-64.so.2";

// A program that is loaded by `loader`; empty: a static one.
std::string Program(const std::string& loader) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_machine = EM_X86_64;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phoff = sizeof header;
  header.e_phnum = loader.empty() ? 0 : 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_INTERP;
  segment.p_offset = sizeof header + sizeof segment;
  segment.p_filesz = loader.size() + 1;
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes.append(reinterpret_cast<const char*>(&segment), sizeof segment);
  return bytes.append(loader).append(1, '\0');
}

class InterpreterTest : public testing::Test {
 protected:
  InterpreterTest() {
    char name[] = "/tmp/interpreter_test.XXXXXX";
    if (mkdtemp(name) == nullptr) abort();
    directory_ = name;
    NextLayer();
  }
  ~InterpreterTest() override { std::filesystem::remove_all(directory_); }

  void NextLayer() { trees_.emplace_back(); }
  void Add(const std::string& path, PackType type, const std::string& content, uint16_t mode) {
    PackTree& tree = trees_.back();
    uint32_t directory = PackTree::kRoot;
    size_t begin = 0;
    for (size_t end; (end = path.find('/', begin)) != path.npos; begin = end + 1) {
      const std::string part = path.substr(begin, end - begin);
      const uint32_t known = tree.Child(directory, part);
      directory = known != PackTree::kNone
                      ? known
                      : tree.AddName(directory, part,
                                     tree.AddInode({.type = PackType::kDirectory, .mode = 0755}));
    }
    pack::PackInode inode{.type = type, .mode = mode};
    if (type == PackType::kSymlink) inode.target = content;
    if (type == PackType::kRegular) {
      const std::string file = directory_ / ("content" + std::to_string(++contents_));
      std::ofstream(file) << content;
      inode.size = content.size();
      inode.source = tree.AddSource(Fd(open(file.c_str(), O_RDONLY | O_CLOEXEC)));
    }
    tree.AddName(directory, path.substr(begin), tree.AddInode(std::move(inode)));
  }
  void File(const std::string& path, const std::string& content, uint16_t mode = 0755) {
    Add(path, PackType::kRegular, content, mode);
  }
  void Link(const std::string& path, const std::string& target) {
    Add(path, PackType::kSymlink, target, 0777);
  }
  pack::PackLayers Layers() {
    std::vector<std::string> paths;
    for (const PackTree& tree : trees_) {
      paths.push_back(directory_ / ("layer" + std::to_string(paths.size())));
      EXPECT_TRUE(pack::WritePack(tree, paths.back(), {}).ok());
    }
    Result<pack::PackLayers> layers = pack::PackLayers::Open(paths);
    EXPECT_TRUE(layers.ok()) << layers.status().message();
    return std::move(*layers);
  }
  static std::string Read(const pack::PackLayers& layers, const std::string& path) {
    const auto file = layers.Resolve(path);
    if (!file.ok()) return std::strerror(file.status().code());
    const auto bytes = file->pack->Content(*file->entry);
    return file->path + ": " + std::string(bytes.begin(), bytes.end());
  }

  std::filesystem::path directory_;
  std::vector<PackTree> trees_;
  int contents_ = 0;
};

TEST_F(InterpreterTest, UpperLayersHideLowerOnes) {
  File("a/both", "lower");
  File("a/lower", "lower");
  File("a/gone", "lower");
  File("opaque/old", "lower");
  File("file/below", "lower");
  NextLayer();
  File("a/both", "upper");
  Add("a/gone", PackType::kWhiteout, "", 0);
  Add("opaque", PackType::kOpaqueDirectory, "", 0755);
  File("file", "upper");
  NextLayer();
  File("b", "top");
  const pack::PackLayers layers = Layers();
  EXPECT_EQ(Read(layers, "/a/both"), "/a/both: upper");
  EXPECT_EQ(Read(layers, "/a/lower"), "/a/lower: lower");
  EXPECT_EQ(Read(layers, "/a/gone"), std::strerror(ENOENT));
  EXPECT_EQ(Read(layers, "/opaque/old"), std::strerror(ENOENT));
  EXPECT_EQ(Read(layers, "/file"), "/file: upper");
  EXPECT_EQ(Read(layers, "/file/below"), std::strerror(ENOTDIR));
  EXPECT_EQ(Read(layers, "//a/./../b"), "/b: top");
  EXPECT_EQ(Read(layers, "/../../b"), "/b: top");
}

TEST_F(InterpreterTest, LinksStayWithinTheImage) {
  File("usr/lib64/loader", "l");
  Link("lib64", "usr/lib64");
  Link("usr/bin/up", "../../../../../lib64/loader");
  Link("absolute", "/lib64/loader");
  Link("loop", "loop");
  Link("a", "/b/x");
  Link("b", "/a/x");
  const pack::PackLayers layers = Layers();
  EXPECT_EQ(Read(layers, "/lib64/loader"), "/usr/lib64/loader: l");
  EXPECT_EQ(Read(layers, "/usr/bin/up"), "/usr/lib64/loader: l");
  EXPECT_EQ(Read(layers, "/absolute"), "/usr/lib64/loader: l");
  EXPECT_EQ(Read(layers, "/loop"), std::strerror(ELOOP));
  EXPECT_EQ(Read(layers, "/a"), std::strerror(ELOOP));
}

TEST_F(InterpreterTest, FollowsPathAsTheImageHasIt) {
  File("usr/lib64/ld-linux-x86-64.so.2", "loader");
  Link("lib64", "usr/lib64");
  File("usr/bin/python3.11", Program(kGlibc));
  Link("usr/bin/python3", "python3.11");
  NextLayer();
  Link("opt/venv/bin/python3", "/usr/bin/python3.11");
  const pack::PackLayers layers = Layers();
  Result<Interpreter> found = FindInterpreter(layers, "/nowhere:opt:/opt/venv/bin:/usr/bin");
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(found->program, "/opt/venv/bin/python3");
  EXPECT_EQ(found->path, "/usr/bin/python3.11");
  found = FindInterpreter(layers, "");
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_EQ(found->program, "/usr/bin/python3");
  EXPECT_EQ(FindInterpreter(layers, "/nowhere").status().code(), ENOENT);
}

TEST_F(InterpreterTest, SaysWhatCannotRun) {
  File("lib64/ld-linux-x86-64.so.2", "loader");
  File("musl/python3", Program("/lib/ld-musl-x86_64.so.1"));
  File("static/python3", Program(""));
  File("script/python3", "#!/bin/sh\n");
  File("plain/python3", Program(kGlibc), 0644);
  std::string cut = Program(kGlibc);
  cut.resize(cut.size() - 20);
  File("cut/python3", cut);
  std::string far = Program(kGlibc);
  reinterpret_cast<Elf64_Ehdr*>(far.data())->e_phoff = ~0ull;
  File("far/python3", far);
  const pack::PackLayers layers = Layers();
  const auto refused = [&](const char* search) { return FindInterpreter(layers, search).status(); };
  for (const char* search : {"/musl", "/static", "/script", "/cut", "/far"}) {
    EXPECT_EQ(refused(search).code(), EINVAL) << search;
  }
  EXPECT_NE(refused("/musl").message().find("musl (Alpine)"), std::string::npos);
  EXPECT_EQ(refused("/plain").code(), ENOENT);
}

TEST_F(InterpreterTest, BoundsWhatAHostileImageMakesItDo) {
  File("usr/bin/python3", "x", 0644);
  std::string wide, around = "usr/bin";
  for (int i = 0; i < 63; ++i) wide += "/nowhere:";
  for (int i = 0; i < 500; ++i) around += "/../bin";
  Link("around", around);
  Link("twice", "around/../../" + around);
  const pack::PackLayers layers = Layers();
  EXPECT_EQ(Read(layers, "/around/python3"), "/usr/bin/python3: x");
  EXPECT_EQ(Read(layers, "/twice/python3"), std::strerror(ENAMETOOLONG));
  EXPECT_EQ(FindInterpreter(layers, wide + "/last").status().code(), ENOENT);
  EXPECT_EQ(FindInterpreter(layers, wide + "/one:/more").status().code(), EINVAL);
  EXPECT_EQ(FindInterpreter(layers, "/" + std::string(4096, 'x')).status().code(), EINVAL);
}

TEST_F(InterpreterTest, WantsTheLoaderInTheImage) {
  File("usr/bin/python3", Program(kGlibc));
  const pack::PackLayers layers = Layers();
  EXPECT_EQ(FindInterpreter(layers, "").status().code(), EINVAL);
}

}  // namespace
}  // namespace usetl
