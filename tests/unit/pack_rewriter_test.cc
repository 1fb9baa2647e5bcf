// Sites within code: which are rewritten, and which must stay.
#include <algorithm>

#include "tests/unit/rewritten_program.h"

namespace usetl::pack {
namespace {

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

}  // namespace
}  // namespace usetl::pack
