// The guest kernel's ELF image, whole and damaged.
#include "vmm/usf/kernel_loader.h"

#include <elf.h>
#include <errno.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace usetl {
namespace {

constexpr uint64_t kBase = abi::kKernelImage.base, kPage = abi::kPageSize;
constexpr uint64_t kText = 3 * kPage, kTextBytes = kPage + 10, kData = 6 * kPage;

struct KernelLoaderTest : testing::Test {
  // Header page, code, and data that is larger than what the file has of it.
  KernelLoaderTest() {
    Elf64_Ehdr& header = *reinterpret_cast<Elf64_Ehdr*>(elf.data());
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_machine = EM_X86_64;
    header.e_phoff = sizeof header;
    header.e_phnum = 4;
    segments()[0] = {PT_LOAD, PF_R, kPage, abi::kKernelHeader, 0, kPage, kPage, kPage};
    segments()[1] = {PT_LOAD, PF_R | PF_X, kText, kBase + kText, 0, kTextBytes, kTextBytes, kPage};
    segments()[2] = {PT_LOAD, PF_R | PF_W, kData, kBase + kData + 16, 0, 4, 3 * kPage, kPage};
    segments()[3] = {PT_NOTE, PF_R, ~0ull, ~0ull, 0, ~0ull, ~0ull, 0};  // nothing of the loader's
    kernel().magic = abi::kKernelMagic;
    kernel().abi_version = abi::kAbiVersion;
    kernel().entry = 0x1234;
    elf[kText] = 0xc3;
    std::memcpy(elf.data() + kData, "data", 4);
  }
  Elf64_Phdr* segments() { return reinterpret_cast<Elf64_Phdr*>(elf.data() + sizeof(Elf64_Ehdr)); }
  abi::KernelHeader& kernel() { return *reinterpret_cast<abi::KernelHeader*>(elf.data() + kPage); }
  Result<LoadedKernel> Load() { return LoadKernel(elf, image.data()); }
  void ExpectDamaged(const char* what) { EXPECT_EQ(Load().status().code(), ENOEXEC) << what; }

  std::vector<uint8_t> elf = std::vector<uint8_t>(7 * kPage);
  // Under a sanitizer, whoever writes beyond it is caught.
  std::vector<uint8_t> image = std::vector<uint8_t>(abi::kKernelImage.size);
};

TEST_F(KernelLoaderTest, SegmentsLieWhereTheySay) {
  const Result<LoadedKernel> loaded = Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded->header.entry, 0x1234u);
  EXPECT_EQ(loaded->text_begin, kBase + kText);
  EXPECT_EQ(loaded->text_end, kBase + kText + 2 * kPage);
  EXPECT_EQ(loaded->data, kBase + kData);
  EXPECT_EQ(image[kText], 0xc3);
  EXPECT_EQ(std::memcmp(image.data() + kData + 16, "data\0\0\0", 7), 0);
}

TEST_F(KernelLoaderTest, WhatIsNoElfImage) {
  elf[1] = 'X';
  ExpectDamaged("magic");
  elf[1] = 'E';
  reinterpret_cast<Elf64_Ehdr*>(elf.data())->e_machine = EM_AARCH64;
  ExpectDamaged("machine");
  elf.resize(sizeof(Elf64_Ehdr) - 1);
  ExpectDamaged("half a header");
  elf.clear();
  ExpectDamaged("nothing");
}

TEST_F(KernelLoaderTest, SegmentTableBeyondTheFile) {
  auto& header = *reinterpret_cast<Elf64_Ehdr*>(elf.data());
  for (const uint64_t at :
       {elf.size() - sizeof(Elf64_Phdr) + 1, elf.size(), uint64_t{1} << 40, ~uint64_t{0}}) {
    header.e_phoff = at;
    ExpectDamaged("table's place");
  }
  header.e_phoff = elf.size() - sizeof(Elf64_Phdr);
  ExpectDamaged("table's end");
}

TEST_F(KernelLoaderTest, SegmentsBeyondTheImageOrTheFile) {
  const Elf64_Phdr good = segments()[1];
  const auto expect_damaged = [&](const char* what, auto change) {
    change(&segments()[1]);
    ExpectDamaged(what);
    segments()[1] = good;
  };
  expect_damaged("below", [](Elf64_Phdr* s) { s->p_vaddr = kBase - 1; });
  expect_damaged("behind", [](Elf64_Phdr* s) { s->p_vaddr = abi::kKernelImage.end(); });
  expect_damaged("across", [](Elf64_Phdr* s) { s->p_vaddr = abi::kKernelImage.end() - kPage; });
  expect_damaged("wraps", [](Elf64_Phdr* s) { s->p_memsz = 0 - s->p_vaddr; });
  expect_damaged("endless", [](Elf64_Phdr* s) { s->p_memsz = ~0ull; });
  expect_damaged("more in the file", [](Elf64_Phdr* s) { s->p_filesz = s->p_memsz + 1; });
  expect_damaged("place", [&](Elf64_Phdr* s) { s->p_offset = elf.size() + 1; });
  expect_damaged("place wraps", [](Elf64_Phdr* s) { s->p_offset = ~0ull; });
  expect_damaged("bytes", [&](Elf64_Phdr* s) { s->p_offset = elf.size() - s->p_filesz + 1; });
  EXPECT_TRUE(Load().ok());
}

TEST_F(KernelLoaderTest, WhatIsNoKernelOfThisBuild) {
  kernel().magic ^= 1;
  ExpectDamaged("magic");
  kernel().magic ^= 1;
  ++kernel().abi_version;
  EXPECT_EQ(Load().status().code(), EPROTO);
  --kernel().abi_version;
  segments()[1].p_flags = PF_R;
  ExpectDamaged("no code");
  segments()[1].p_flags = PF_R | PF_X;
  segments()[2].p_flags = PF_R;
  ExpectDamaged("no data");
}

}  // namespace
}  // namespace usetl
