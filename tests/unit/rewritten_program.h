// rewritten_program.h: small programs for tests of the rewriter of system calls.
#ifndef USETL_TESTS_UNIT_REWRITTEN_PROGRAM_H_
#define USETL_TESTS_UNIT_REWRITTEN_PROGRAM_H_

#include <elf.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "vmm/abi/layout.h"
#include "vmm/pack/syscall_rewriter.h"

namespace usetl::pack {

using Bytes = std::vector<uint8_t>;

inline constexpr uint64_t kBase = 0x40'0000;
inline constexpr size_t kCode = 0x200;  // where code starts in the file and, from kBase, in memory

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Bytes Site(uint32_t number) {
  Bytes site = {0xb8, 0, 0, 0, 0, 0x0f, 0x05};
  std::memcpy(site.data() + 1, &number, sizeof(number));
  return site;
}

inline Bytes Call(uint32_t number) {
  Bytes call = {0xff, 0x14, 0x25, 0, 0, 0, 0};
  const uint32_t entry = abi::kSyscallEntryTable + 8 * number;
  std::memcpy(call.data() + 3, &entry, sizeof(entry));
  return call;
}

inline const Bytes kReturn = {0xc3};
inline const Bytes kSyscall = {0x0f, 0x05};
inline const Bytes kZeroSite = {0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff};
inline const Bytes kNop3 = {0x0f, 0x1f, 0x00};

inline Bytes Move(uint32_t number) {
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

inline void ExpectUntouched(const Program& program, uint32_t left) {
  Program copy = program;
  const RewriteCounts counts = copy.Rewrite();
  EXPECT_EQ(counts.rewritten, 0u);
  EXPECT_EQ(counts.left, left);
  EXPECT_EQ(copy.file, program.file);
}

inline Bytes Words(std::initializer_list<uint64_t> words) {
  Bytes bytes(words.size() * 8);
  std::memcpy(bytes.data(), words.begin(), bytes.size());
  return bytes;
}

}  // namespace usetl::pack

#endif  // USETL_TESTS_UNIT_REWRITTEN_PROGRAM_H_
