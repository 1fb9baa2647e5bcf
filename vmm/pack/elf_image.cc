#include "vmm/pack/elf_image.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace usetl::pack {
namespace {

// More than any real file has; keeps the work on a hostile one linear in its size.
constexpr uint16_t kMaxSegments = 256;

bool ByAddress(const ElfRange& a, const ElfRange& b) { return a.address < b.address; }
bool ByOffset(const ElfRange& a, const ElfRange& b) { return a.offset < b.offset; }

bool DisjointInFile(std::vector<ElfRange> ranges) {
  std::sort(ranges.begin(), ranges.end(), ByOffset);
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].offset < ranges[i - 1].offset + ranges[i - 1].size) return false;
  }
  return true;
}

bool SortDisjoint(std::vector<ElfRange>* ranges) {
  std::sort(ranges->begin(), ranges->end(), ByAddress);
  for (size_t i = 1; i < ranges->size(); ++i) {
    if ((*ranges)[i].address < (*ranges)[i - 1].end()) return false;
  }
  return true;
}

}  // namespace

template <typename T>
bool ElfImage::Read(uint64_t offset, T* value) const {
  if (offset > file_.size() || file_.size() - offset < sizeof(T)) return false;
  std::memcpy(value, file_.data() + offset, sizeof(T));
  return true;
}

std::optional<ElfImage> ElfImage::Parse(std::span<const uint8_t> file) {
  ElfImage image(file);
  Elf64_Ehdr header;
  if (!image.Read(0, &header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return {};
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) return {};
  if (header.e_machine != EM_X86_64) return {};
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) return {};
  if (!image.ReadSegments() || !image.ReadSections()) return {};
  return image;
}

bool ElfImage::ReadSegments() {
  Elf64_Ehdr header;
  if (!Read(0, &header)) return false;
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > kMaxSegments) return false;
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (header.e_phoff > file_.size() || !Read(header.e_phoff + i * sizeof(segment), &segment)) {
      return false;
    }
    if (segment.p_type != PT_LOAD && segment.p_type != PT_GNU_EH_FRAME) continue;
    const uint64_t size = segment.p_filesz;
    if (segment.p_offset > file_.size() || size > file_.size() - segment.p_offset) return false;
    if (segment.p_vaddr > std::numeric_limits<uint64_t>::max() - size) return false;
    const ElfRange range{segment.p_vaddr, segment.p_offset, size};
    if (segment.p_type == PT_GNU_EH_FRAME) {
      unwind_ = range;
    } else if (size > 0) {
      loads_.push_back(range);
      if (segment.p_flags & PF_X) executable_.push_back(range);
    }
  }
  // Bytes that two segments show must not change for the sake of one of them.
  return SortDisjoint(&loads_) && SortDisjoint(&executable_) && DisjointInFile(loads_);
}

bool ElfImage::ReadSections() {
  Elf64_Ehdr header;
  if (!Read(0, &header)) return false;
  const bool table = header.e_shentsize == sizeof(Elf64_Shdr) && header.e_shoff <= file_.size() &&
                     (file_.size() - header.e_shoff) / sizeof(Elf64_Shdr) >= header.e_shnum;
  for (uint64_t i = 0; table && i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    if (!Read(header.e_shoff + i * sizeof(section), &section)) return false;
    if (section.sh_type == SHT_SYMTAB || section.sh_type == SHT_DYNSYM) {
      if (section.sh_offset > file_.size()) return false;
      if (section.sh_size > file_.size() - section.sh_offset) return false;
      symbol_tables_.push_back({0, section.sh_offset, section.sh_size});
    }
    constexpr uint64_t kCode = SHF_ALLOC | SHF_EXECINSTR;
    if (section.sh_type != SHT_PROGBITS || (section.sh_flags & kCode) != kCode) continue;
    if (section.sh_size == 0) continue;
    // The segments say what is loaded; a section that disagrees with them names no code.
    const ElfRange* load = Find(executable_, section.sh_addr);
    if (load == nullptr || section.sh_size > load->end() - section.sh_addr) return false;
    if (section.sh_offset - load->offset != section.sh_addr - load->address) return false;
    code_.push_back({section.sh_addr, section.sh_offset, section.sh_size});
  }
  if (code_.empty()) code_ = executable_;
  return SortDisjoint(&code_) && DisjointInFile(symbol_tables_);
}

const ElfRange* ElfImage::Find(const std::vector<ElfRange>& ranges, uint64_t address) {
  auto after = std::upper_bound(ranges.begin(), ranges.end(), address,
                                [](uint64_t a, const ElfRange& r) { return a < r.address; });
  if (after == ranges.begin() || !(after - 1)->Contains(address)) return nullptr;
  return &*(after - 1);
}

void ElfImage::AddSymbols(uint64_t offset, uint64_t size, std::vector<uint64_t>* starts) const {
  for (uint64_t i = 0; i < size / sizeof(Elf64_Sym); ++i) {
    Elf64_Sym symbol;
    if (!Read(offset + i * sizeof(symbol), &symbol)) return;
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= SHN_LORESERVE) continue;
    const int type = ELF64_ST_TYPE(symbol.st_info);
    // Labels of assembler files often have no type.
    if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE) continue;
    if (Find(code_, symbol.st_value) != nullptr) starts->push_back(symbol.st_value);
  }
}

// .eh_frame_hdr lists all functions, also of a stripped file. Only the encoding that linkers write
// is read: pairs of signed 32-bit offsets (function, its unwind entry) from the table's own start.
void ElfImage::AddUnwindTable(std::vector<uint64_t>* starts) const {
  constexpr uint8_t kUsual[] = {1, 0x1b, 0x03, 0x3b};
  uint8_t head[4];
  uint32_t count;
  if (unwind_.size < 12 || !Read(unwind_.offset, &head) || !Read(unwind_.offset + 8, &count)) return;
  if (std::memcmp(head, kUsual, sizeof(head)) != 0) return;
  const uint64_t entries = std::min<uint64_t>(count, (unwind_.size - 12) / 8);
  for (uint64_t i = 0; i < entries; ++i) {
    int32_t relative;
    if (!Read(unwind_.offset + 12 + i * 8, &relative)) return;
    const uint64_t address = unwind_.address + static_cast<uint64_t>(int64_t{relative});
    if (Find(code_, address) != nullptr) starts->push_back(address);
  }
}

std::vector<uint64_t> ElfImage::FunctionStarts() const {
  std::vector<uint64_t> starts;
  Elf64_Ehdr header;
  if (Read(0, &header) && Find(code_, header.e_entry) != nullptr) starts.push_back(header.e_entry);
  for (const ElfRange& table : symbol_tables_) AddSymbols(table.offset, table.size, &starts);
  AddUnwindTable(&starts);
  std::sort(starts.begin(), starts.end());
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
  return starts;
}

}  // namespace usetl::pack
