// elf_image.h: what the rewriter needs to know of an ELF64 x86-64 file.
//
// The file is hostile input: nothing here trusts an offset, a size or a count. A file that breaks a
// rule is refused as a whole, which is always safe: a site that is not rewritten still traps.
#ifndef USETL_VMM_PACK_ELF_IMAGE_H_
#define USETL_VMM_PACK_ELF_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace usetl::pack {

// Bytes of the file that the program sees at `address`.
struct ElfRange {
  uint64_t address;
  size_t offset;
  size_t size;
  uint64_t end() const { return address + size; }
  bool Contains(uint64_t a) const { return a >= address && a - address < size; }
};

// A parsed image. Refers to the bytes it was made from.
class ElfImage {
 public:
  // Nothing when `file` is no ET_EXEC or ET_DYN of x86-64, or is malformed.
  static std::optional<ElfImage> Parse(std::span<const uint8_t> file);

  std::span<const uint8_t> file() const { return file_; }
  std::span<const uint8_t> Bytes(const ElfRange& range) const {
    return file_.subspan(range.offset, range.size);
  }
  // Executable sections, or executable segments of a file without sections. Sorted by address,
  // disjoint in memory and in the file.
  const std::vector<ElfRange>& code() const { return code_; }
  // Loaded segments, sorted by address and disjoint there.
  const std::vector<ElfRange>& loads() const { return loads_; }
  // Addresses in code() where an instruction is known to start: the entry point, symbols of code,
  // functions of the unwind table. Sorted, unique.
  std::vector<uint64_t> FunctionStarts() const;
  // The range that holds `address`, or nullptr. `ranges` is code() or loads().
  static const ElfRange* Find(const std::vector<ElfRange>& ranges, uint64_t address);

 private:
  explicit ElfImage(std::span<const uint8_t> file) : file_(file) {}

  template <typename T>
  bool Read(uint64_t offset, T* value) const;
  bool ReadSegments();
  bool ReadSections();
  void AddSymbols(uint64_t offset, uint64_t size, std::vector<uint64_t>* starts) const;
  void AddUnwindTable(std::vector<uint64_t>* starts) const;

  std::span<const uint8_t> file_;
  std::vector<ElfRange> code_;
  std::vector<ElfRange> loads_;
  std::vector<ElfRange> executable_;  // those of loads_ that are
  std::vector<ElfRange> symbol_tables_;
  ElfRange unwind_{};
};

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_ELF_IMAGE_H_
