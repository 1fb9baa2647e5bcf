#include <elf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "vmm/abi/layout.h"
#include "vmm/pack/syscall_rewriter.h"

namespace usetl::pack {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint64_t kBase = 0x40'0000;
constexpr size_t kCode = 0x200;  // where code starts in the file and, from kBase, in memory

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes Site(uint32_t number) {
  Bytes site = {0xb8, 0, 0, 0, 0, 0x0f, 0x05};
  std::memcpy(site.data() + 1, &number, sizeof(number));
  return site;
}

Bytes Call(uint32_t number) {
  Bytes call = {0xff, 0x14, 0x25, 0, 0, 0, 0};
  const uint32_t entry = abi::kSyscallEntryTable + 8 * number;
  std::memcpy(call.data() + 3, &entry, sizeof(entry));
  return call;
}

const Bytes kReturn = {0xc3};
const Bytes kSyscall = {0x0f, 0x05};
const Bytes kZeroSite = {0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff};
const Bytes kNop3 = {0x0f, 0x1f, 0x00};

Bytes Move(uint32_t number) {
  const Bytes site = Site(number);
  return Bytes(site.begin(), site.begin() + 5);
}

// A program of one executable segment, and of one readable one when there is data.
struct Program {
  explicit Program(const Bytes& code, const Bytes& data = {}, uint16_t type = ET_EXEC)
      : code_size(code.size()), file(kCode) {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = type;
    header.e_machine = EM_X86_64;
    header.e_entry = kBase + kCode;
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = data.empty() ? 1 : 2;
    std::memcpy(file.data(), &header, sizeof(header));
    file = file + code;
    AddSegment(0, PF_R | PF_X, kCode, code.size());
    if (data.empty()) return;
    file.resize((file.size() + 7) & ~size_t{7});
    AddSegment(1, PF_R, file.size(), data.size());
    file = file + data;
  }

  void AddSegment(size_t index, uint32_t flags, uint64_t offset, uint64_t size) {
    Elf64_Phdr segment{};
    segment.p_type = PT_LOAD;
    segment.p_flags = flags;
    segment.p_offset = offset;
    segment.p_vaddr = kBase + offset;
    segment.p_filesz = segment.p_memsz = size;
    std::memcpy(file.data() + sizeof(Elf64_Ehdr) + index * sizeof(segment), &segment,
                sizeof(segment));
  }

  // Appends a section table: a symbol at `symbol` and one code section.
  void AddSections(uint64_t symbol) {
    Elf64_Sym entry{};
    entry.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
    entry.st_shndx = 1;
    entry.st_value = symbol;
    Elf64_Shdr sections[3] = {};
    sections[1].sh_type = SHT_PROGBITS;
    sections[1].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
    sections[1].sh_addr = kBase + kCode;
    sections[1].sh_offset = kCode;
    sections[1].sh_size = code_size;
    sections[2].sh_type = SHT_SYMTAB;
    sections[2].sh_offset = file.size();
    sections[2].sh_size = sizeof(entry);
    Append(&entry, sizeof(entry));
    auto* header = reinterpret_cast<Elf64_Ehdr*>(file.data());
    header->e_shoff = file.size();
    header->e_shentsize = sizeof(sections[0]);
    header->e_shnum = 3;
    Append(sections, sizeof(sections));
  }

  void Append(const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    file.insert(file.end(), bytes, bytes + size);
  }

  RewriteCounts Rewrite() { return RewriteSyscalls(file); }
  Bytes Code() const { return {file.begin() + kCode, file.begin() + kCode + code_size}; }

  size_t code_size;
  Bytes file;
};

void ExpectUntouched(const Program& program, uint32_t left) {
  Program copy = program;
  const RewriteCounts counts = copy.Rewrite();
  EXPECT_EQ(counts.rewritten, 0u);
  EXPECT_EQ(counts.left, left);
  EXPECT_EQ(copy.file, program.file);
}

Bytes Words(std::initializer_list<uint64_t> words) {
  Bytes bytes(words.size() * 8);
  std::memcpy(bytes.data(), words.begin(), bytes.size());
  return bytes;
}

TEST(Rewriter, RewritesSites) {
  for (uint16_t type : {ET_EXEC, ET_DYN}) {
    Program program(Site(1) + kReturn + Site(511) + kReturn, {}, type);
    const RewriteCounts counts = program.Rewrite();
    EXPECT_EQ(counts.rewritten, 2u);
    EXPECT_EQ(counts.left, 0u);
    EXPECT_EQ(program.Code(), Call(1) + kReturn + Call(511) + kReturn);
  }
}

TEST(Rewriter, UsesSections) {
  Program program(Site(1) + kReturn + Site(2));
  program.AddSections(kBase + kCode + 8);
  EXPECT_EQ(program.Rewrite().rewritten, 2u);
}

TEST(Rewriter, LeavesNumbersOutOfRange) {
  ExpectUntouched(Program(Site(512) + kReturn), 1);
  ExpectUntouched(Program(Site(0xffff'ffff) + kReturn), 1);
}

TEST(Rewriter, LeavesOtherFormsOfCalls) {
  ExpectUntouched(Program({0x89, 0xf8, 0x0f, 0x05, 0xc3}), 1);              // mov %edi,%eax
  ExpectUntouched(Program({0x41, 0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0xc3}), 1);  // mov $1,%r8d
}

TEST(Rewriter, MovesWhatOnlyComputes) {
  const Bytes betweens[] = {
      {0x40, 0x80, 0xf6, 0x81},  // xor $0x81,%sil
      {0x31, 0xd2},              // xor %edx,%edx
      {0x48, 0x8b, 0x74, 0x24, 0x10, 0x8b, 0x7c, 0x24,
       0x08},                                      // mov 16(%rsp),%rsi; mov 8(%rsp),%edi
      {0x4c, 0x39, 0xc6, 0x4c, 0x0f, 0x46, 0xc6},  // cmp %r8,%rsi; cmovbe %rsi,%r8
      {0x8d, 0x3c, 0xfd, 2, 0, 0, 0},              // lea 2(,%rdi,8),%edi
  };
  for (const Bytes& between : betweens) {
    Program program(Move(202) + between + kSyscall + kReturn);
    EXPECT_EQ(program.Rewrite().rewritten, 1u);
    EXPECT_EQ(program.Code(), between + Call(202) + kReturn);
  }
}

TEST(Rewriter, LeavesWhatMustNotMove) {
  const Bytes betweens[] = {
      {0x89, 0xc2},                    // mov %eax,%edx
      {0xff, 0xc0},                    // inc %eax
      {0x0f, 0xb6, 0xc0},              // movzbl %al,%eax
      {0x8b, 0x10},                    // mov (%rax),%edx
      {0x8b, 0x14, 0x07},              // mov (%rdi,%rax),%edx
      {0x48, 0x8d, 0x35, 0, 0, 0, 0},  // lea 0(%rip),%rsi
      {0x52},                          // push %rdx
      {0x48, 0x83, 0xec, 8},           // sub $8,%rsp
      {0x48, 0x89, 0xe5},              // mov %rsp,%rbp
      {0xe8, 0, 0, 0, 0},              // call
      {0x74, 0x02},                    // je behind the site
      {0xf7, 0xe2},                    // mul %edx, into rdx:rax
      {0x48, 0x99},                    // cqto
      {0x0f, 0xa2},                    // cpuid
      {0xf3, 0xa4},                    // rep movsb
      {0x90},                          // nop
  };
  for (const Bytes& between : betweens) {
    SCOPED_TRACE(testing::PrintToString(between));
    ExpectUntouched(Program(Move(202) + between + kSyscall + kReturn), 1);
  }
  // A branch to what would have moved.
  ExpectUntouched(Program(Move(202) + Bytes{0x31, 0xd2} + kSyscall + Bytes{0xeb, 0xfa}), 1);
}

TEST(Rewriter, LeavesFunctionsThatUseTheRedZone) {
  const Bytes store = {0x48, 0x89, 0x74, 0x24, 0xf8};                  // mov %rsi,-8(%rsp)
  const Bytes far = {0x48, 0x8b, 0x94, 0x24, 0x80, 0xff, 0xff, 0xff};  // mov -128(%rsp),%rdx
  const Bytes above = {0x48, 0x8b, 0x54, 0x24, 0x08};                  // mov 8(%rsp),%rdx
  const Bytes other = {0x49, 0x8b, 0x54, 0x24, 0xf8};                  // mov -8(%r12),%rdx
  ExpectUntouched(Program(store + Site(110) + kReturn), 1);
  ExpectUntouched(Program(Site(110) + far + kReturn), 1);
  ExpectUntouched(Program(Move(110) + store + kSyscall + kReturn), 1);
  for (const Bytes& harmless : {above, other}) {
    Program program(harmless + Site(110) + kReturn);
    EXPECT_EQ(program.Rewrite().rewritten, 1u);
  }
}

TEST(Rewriter, LeavesLeavesWithAFramePointer) {
  const Bytes frame = {0x55, 0x48, 0x89, 0xe5};            // push %rbp; mov %rsp,%rbp
  const Bytes other_frame = {0x55, 0x48, 0x8b, 0xec};      // the other encoding
  const Bytes store = {0x48, 0x89, 0x7d, 0xf8};            // mov %rdi,-8(%rbp)
  const Bytes deeper = {0x48, 0x89, 0x7d, 0xe0};           // mov %rdi,-32(%rbp)
  const Bytes indexed = {0x48, 0x89, 0x7c, 0x35, 0xf8};    // mov %rdi,-8(%rbp,%rsi)
  const Bytes argument = {0x48, 0x8b, 0x55, 0x10};         // mov 16(%rbp),%rdx
  const Bytes take = {0x48, 0x83, 0xec, 0x10};             // sub $16,%rsp
  const Bytes take_more = {0x48, 0x81, 0xec, 0, 1, 0, 0};  // sub $256,%rsp
  const Bytes save = {0x53};                               // push %rbx
  const Bytes branch = {0x74, 0};
  for (const Bytes& leaf :
       {frame + store, other_frame + store, frame + indexed, frame + save + deeper,
        frame + take + deeper, frame + branch + take + store, frame + store + take}) {
    SCOPED_TRACE(testing::PrintToString(leaf));
    ExpectUntouched(Program(leaf + Site(39) + kReturn), 1);
  }
  const Bytes call = {0xff, 0xd0};  // call *%rax: no leaf
  ExpectUntouched(Program(frame + store + kReturn + call + Site(39) + kReturn), 1);
  for (const Bytes& harmless : {store, frame + argument, frame + take + store, frame + store + call,
                                frame + take_more + deeper, frame + save + store}) {
    SCOPED_TRACE(testing::PrintToString(harmless));
    Program program(harmless + Site(39) + kReturn);
    EXPECT_EQ(program.Rewrite().rewritten, 1u);
  }
}

TEST(Rewriter, LeavesPartsOfFunctionsThatUseTheRedZone) {
  const Bytes store = {0x48, 0x89, 0x74, 0x24, 0xf8};  // mov %rsi,-8(%rsp)
  const Bytes plain = {0x48, 0x89, 0x74, 0x24, 0x08};  // mov %rsi,8(%rsp)
  const auto split = [](const Bytes& kept, const Bytes& leave) {
    Program program(kept + leave + kReturn + Site(39) + kReturn);
    program.AddSections(kBase + kCode + kept.size() + leave.size() + 1);  // the part's start
    return program;
  };
  const Bytes near = {0x74, 1};             // je
  const Bytes far = {0xe9, 1, 0, 0, 0};     // jmp
  const Bytes called = {0xe8, 1, 0, 0, 0};  // another function has a frame of its own
  ExpectUntouched(split(store, near), 1);
  ExpectUntouched(split(store, far), 1);
  EXPECT_EQ(split(store, called).Rewrite().rewritten, 1u);
  EXPECT_EQ(split(plain, far).Rewrite().rewritten, 1u);
}

TEST(Rewriter, RewritesReadWithItsComparison) {
  for (const uint8_t opcode : {0x31, 0x33}) {
    Bytes site = kZeroSite;
    site[0] = opcode;
    Program program(site + Bytes{0x77, 0x01} + kReturn + kReturn);
    EXPECT_EQ(program.Rewrite().rewritten, 1u);
    EXPECT_EQ(program.Code(), (Call(0) + kNop3 + Bytes{0x77, 0x01} + kReturn + kReturn));
  }
  // Without that comparison, or with another, or when somebody jumps to it.
  ExpectUntouched(Program(Bytes(kZeroSite.begin(), kZeroSite.begin() + 4) + kReturn), 1);
  Bytes other = kZeroSite;
  other[6] = 0x01;
  ExpectUntouched(Program(other + kReturn), 1);
  ExpectUntouched(Program(kZeroSite + Bytes{0xeb, 0xf8}), 1);
  ExpectUntouched(Program(Bytes{0x31, 0xc9} + Bytes(kZeroSite.begin() + 2, kZeroSite.end())), 1);
}

TEST(Rewriter, LeavesDataThatLooksLikeASite) {
  // movabs $imm64,%rax with a site's bytes in it, and a site's bytes after it.
  const Bytes inside = Bytes{0x48, 0xb8} + Site(3) + Bytes{0};
  Program program(inside + Site(4) + kReturn);
  const RewriteCounts counts = program.Rewrite();
  EXPECT_EQ(counts.rewritten, 1u);
  EXPECT_EQ(program.Code(), inside + Call(4) + kReturn);
  // In a segment that is not executed.
  ExpectUntouched(Program(kReturn, Site(1)), 0);
}

TEST(Rewriter, LeavesSitesThatAreJumpedInto) {
  for (uint8_t to = 1; to < 7; ++to) {
    // jmp rel8 from behind: the target is relative to the end of the jump.
    const auto back = static_cast<uint8_t>(to - 9);
    ExpectUntouched(Program(Site(1) + Bytes{0xeb, back}), 1);
    // jne rel8 from before.
    ExpectUntouched(Program(Bytes{0x75, to} + Site(1) + kReturn), 1);
    // call, jmp and jne rel32.
    ExpectUntouched(Program(Bytes{0xe8, to, 0, 0, 0} + Site(1) + kReturn), 1);
    ExpectUntouched(Program(Bytes{0xe9, to, 0, 0, 0} + Site(1) + kReturn), 1);
    ExpectUntouched(Program(Bytes{0x0f, 0x85, to, 0, 0, 0} + Site(1) + kReturn), 1);
  }
  Program start(Site(1) + Bytes{0xeb, 0xf7});  // to the site's own first byte
  EXPECT_EQ(start.Rewrite().rewritten, 1u);
}

TEST(Rewriter, LeavesSitesThatSymbolsPointInto) {
  Program program(Site(1) + kReturn);
  program.AddSections(kBase + kCode + 5);
  ExpectUntouched(program, 1);
}

TEST(Rewriter, LeavesSitesThatDataPointsInto) {
  const Bytes code = Site(1) + kReturn;
  ExpectUntouched(Program(code, Words({kBase + kCode + 5})), 1);
  Program start(code, Words({kBase + kCode, kBase + kCode + 7}));
  EXPECT_EQ(start.Rewrite().rewritten, 1u);
}

TEST(Rewriter, LeavesSitesInRelativeJumpTables) {
  // lea table(%rip),%rdx; site; nop up to 16 bytes; the table is the data that follows.
  const Bytes lea = {0x48, 0x8d, 0x15, 9, 0, 0, 0};
  const auto table = [](int32_t first, int32_t second) {
    Bytes bytes(8);
    std::memcpy(bytes.data(), &first, 4);
    std::memcpy(bytes.data() + 4, &second, 4);
    return bytes;
  };
  const Bytes code = lea + Site(1) + Bytes{0xc3, 0x90};
  ASSERT_EQ(code.size(), 16u);
  ExpectUntouched(Program(code, table(-16, 7 + 5 - 16)), 1);
  Program start(code, table(-16, 7 - 16));
  EXPECT_EQ(start.Rewrite().rewritten, 1u);
}

TEST(Rewriter, ResynchronisesAtSymbolsAndAfterBadBytes) {
  // 48 b8 would swallow the site as an immediate; the symbol says that code starts there.
  Program symbol(Bytes{0xc3, 0x48, 0xb8} + Site(1) + kReturn);
  symbol.AddSections(kBase + kCode + 3);
  EXPECT_EQ(symbol.Rewrite().rewritten, 1u);
  Program invalid(Bytes{0x06, 0x06} + Site(1) + kReturn);  // no instruction in 64-bit mode
  EXPECT_EQ(invalid.Rewrite().rewritten, 1u);
}

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
