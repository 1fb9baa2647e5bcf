// Files as a whole: damaged ones, hostile ones, those of several segments, the real C library.
#include <algorithm>
#include <fstream>
#include <iterator>

#include "tests/unit/rewritten_program.h"

namespace usetl::pack {
namespace {

TEST(Rewriter, LeavesWhatNoCompilerMakes) {
  constexpr size_t kMany = (1 << 20) + 1;
  Bytes sites;
  for (size_t i = 0; i < kMany; ++i) {
    const Bytes site = Site(1);
    sites.insert(sites.end(), site.begin(), site.end());
  }
  ExpectUntouched(Program(sites), 0);
  sites.resize(7 * (kMany - 1));
  EXPECT_EQ(Program(sites).Rewrite().rewritten, kMany - 1);

  constexpr size_t kJumps = (1 << 23) + 2;
  for (const size_t jumps : {size_t{100}, kJumps}) {
    Bytes code = Site(1);
    code.resize(code.size() + 5 * jumps, 0x7f);
    for (size_t i = 0; i < jumps; ++i) code[7 + 5 * i] = 0xe9;  // out of the segment
    EXPECT_EQ(Program(code).Rewrite().rewritten, jumps == kJumps ? 0u : 1u);
    for (size_t i = 0; i < jumps; ++i) code[7 + 5 * i] = 0xe8;  // calls are no jumps
    EXPECT_EQ(Program(code).Rewrite().rewritten, 1u);
  }
}

TEST(Rewriter, LeavesWhatIsNoProgram) {
  Bytes nothing;
  EXPECT_EQ(RewriteSyscalls(nothing).rewritten, 0u);
  Bytes text = Site(1);
  EXPECT_EQ(RewriteSyscalls(text).rewritten, 0u);
  const auto changed = [](auto change) {
    Program program(Site(1) + kReturn);
    change(reinterpret_cast<Elf64_Ehdr*>(program.file.data()),
           reinterpret_cast<Elf64_Phdr*>(program.file.data() + sizeof(Elf64_Ehdr)));
    ExpectUntouched(program, 0);
  };
  changed([](Elf64_Ehdr* h, Elf64_Phdr*) { h->e_ident[EI_CLASS] = ELFCLASS32; });
  changed([](Elf64_Ehdr* h, Elf64_Phdr*) { h->e_ident[EI_DATA] = ELFDATA2MSB; });
  changed([](Elf64_Ehdr* h, Elf64_Phdr*) { h->e_machine = EM_AARCH64; });
  changed([](Elf64_Ehdr* h, Elf64_Phdr*) { h->e_type = ET_REL; });
  changed([](Elf64_Ehdr* h, Elf64_Phdr*) { h->e_phentsize = 1; });
  changed([](Elf64_Ehdr* h, Elf64_Phdr*) { h->e_phnum = 0xffff; });
  changed([](Elf64_Ehdr* h, Elf64_Phdr*) { h->e_phoff = ~uint64_t{0} - 8; });
  changed([](Elf64_Ehdr*, Elf64_Phdr* p) { p->p_offset = ~uint64_t{0}; });
  changed([](Elf64_Ehdr*, Elf64_Phdr* p) { p->p_filesz = ~uint64_t{0}; });
  changed([](Elf64_Ehdr*, Elf64_Phdr* p) { p->p_vaddr = ~uint64_t{0} - 3; });
  changed([](Elf64_Ehdr*, Elf64_Phdr* p) { p->p_flags = PF_R; });
}

TEST(Rewriter, SurvivesEveryTruncation) {
  Program whole(Site(1) + kReturn + Site(2), Words({1, 2, 3}));
  whole.AddSections(kBase + kCode + 8);
  for (size_t size = 0; size < whole.file.size(); ++size) {
    // An exact copy, so that a sanitizer sees reads behind its end.
    Bytes part(whole.file.begin(), whole.file.begin() + size);
    RewriteSyscalls(part);
  }
}

TEST(Rewriter, LeavesSegmentsThatShareBytes) {
  Program program(Site(1) + kReturn, Words({0}));
  Elf64_Phdr* data = reinterpret_cast<Elf64_Phdr*>(program.file.data() + sizeof(Elf64_Ehdr)) + 1;
  data->p_offset = kCode;
  ExpectUntouched(program, 0);
}

// As static programs have them: .init, whose first branch leads into .text.
TEST(Rewriter, FollowsBranchesIntoLaterSections) {
  const Bytes branch = {0xe9, 2, 0, 0, 0};  // two bytes on: into the second section's site
  Program program(branch + Site(1) + kReturn);
  Elf64_Shdr sections[3] = {};
  for (int i : {1, 2}) {
    sections[i].sh_type = SHT_PROGBITS;
    sections[i].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
    sections[i].sh_offset = kCode + (i == 1 ? 0 : branch.size());
    sections[i].sh_addr = kBase + sections[i].sh_offset;
    sections[i].sh_size = i == 1 ? branch.size() : program.code_size - branch.size();
  }
  auto* header = reinterpret_cast<Elf64_Ehdr*>(program.file.data());
  header->e_shoff = program.file.size();
  header->e_shentsize = sizeof(sections[0]);
  header->e_shnum = 3;
  program.Append(sections, sizeof(sections));
  ExpectUntouched(program, 1);
}

TEST(Rewriter, RewritesTheRealLibrary) {
  std::ifstream stream("/lib/x86_64-linux-gnu/libc.so.6", std::ios::binary);
  const Bytes before((std::istreambuf_iterator<char>(stream)), {});
  if (before.empty()) GTEST_SKIP() << "no libc.so.6";
  Bytes after = before;
  const RewriteCounts counts = RewriteSyscalls(after);
  EXPECT_GE(counts.rewritten, 450u);
  EXPECT_LE(counts.left, 60u);
  // Whatever changed ends in a call of the number that was there, and is as long as before.
  uint32_t changed = 0;
  for (size_t at = 0; at < before.size(); ++at) {
    if (before[at] == after[at]) continue;
    ++changed;
    if (before[at] != 0xb8) {
      ASSERT_EQ(Bytes(before.begin() + at, before.begin() + at + 10), kZeroSite);
      ASSERT_EQ(Bytes(after.begin() + at, after.begin() + at + 10), Call(0) + kNop3);
      at += 9;
      continue;
    }
    uint32_t number;
    std::memcpy(&number, before.data() + at + 1, sizeof(number));
    ASSERT_LT(number, abi::kSyscallCount);
    const auto syscall = std::search(before.begin() + at + 5, before.begin() + at + 60,
                                     kSyscall.begin(), kSyscall.end());
    const size_t between = syscall - before.begin() - at - 5;
    ASSERT_EQ(Bytes(after.begin() + at, after.begin() + at + between + 7),
              Bytes(before.begin() + at + 5, syscall) + Call(number));
    at += between + 6;
  }
  EXPECT_EQ(changed, counts.rewritten);
}

}  // namespace
}  // namespace usetl::pack
