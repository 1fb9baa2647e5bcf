// site_scanner.h: finds the system call sites of a program and everything that points into code.
#ifndef USETL_VMM_PACK_SITE_SCANNER_H_
#define USETL_VMM_PACK_SITE_SCANNER_H_

#include <Zydis/Decoder.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vmm/pack/elf_image.h"

namespace usetl::pack {

// Forms of a site; syscall_rewriter.h has what they become.
enum class SiteForm {
  kMove,  // mov $nr, %eax; `between` bytes of other instructions, most often none; syscall
  kZero,  // xor %eax, %eax; syscall; cmp $-4096, %rax
};

// Works on one image, which must outlive it. Scan() once, then ask.
class SiteScanner {
 public:
  explicit SiteScanner(const ElfImage& image);

  // Decodes the functions that hold bytes 0f 05 or are near enough for a short branch to them. The
  // rest is not decoded: what else can point into a site is found in its plain bytes.
  void Scan();
  // Instructions `syscall` that were decoded.
  uint32_t syscalls() const { return syscalls_; }
  // The sites that nothing points into.
  struct SafeSite {
    size_t offset;  // in the file
    SiteForm form;
    uint32_t number;
    size_t between;
  };
  std::vector<SafeSite> SafeSites() const;

 private:
  struct Site {
    size_t range;
    size_t at;  // from the start of the range
    SiteForm form;
    uint32_t number;
    size_t between;
    size_t function;  // in functions_
    size_t size() const;
  };
  struct Function {  // one that has sites
    uint64_t start, stop;
    bool endangered;  // a part of a function that uses the red zone
  };
  struct Jump {
    uint64_t from, to;
  };
  struct Step {  // an instruction before the one at hand
    size_t at, length;
  };
  // The site that the `syscall` at `at` ends, if it is of one of the forms. `before`: what was
  // decoded before it without a gap, last first.
  std::optional<Site> FindSite(std::span<const uint8_t> bytes, size_t at,
                               std::span<const Step> before) const;
  // Whether the instruction may trade places with `mov $nr, %eax` before it.
  bool MayMove(std::span<const uint8_t> instruction) const;

  // Fills hits_ with the addresses of bytes 0f 05, instructions or not. False: there are none, or
  // too many.
  bool FindSyscallBytes();
  bool IsNearSyscallBytes(uint64_t start, uint64_t stop) const;
  void Decode(std::span<const uint8_t> bytes, uint64_t address);
  Function* FunctionAt(uint64_t address);
  // Compilers put what is rare of a function elsewhere, as one of its own, which is jumped to.
  // `starts`: of all functions.
  void LeaveSplitFunctions(const std::vector<uint64_t>& starts);
  bool UsesRedZone(std::span<const uint8_t> function) const;
  void AddTarget(uint64_t address);
  // Takes the four bytes after whatever could be a call, jmp, jcc or xbegin for a distance, and
  // those after whatever could be `lea disp32(%rip)` for the place of a jump table. That finds
  // every true one and next to nothing else, at a tenth of the cost of decoding. Where there are
  // too many no site is left.
  void AddLongBranches();
  // Relocation addends, absolute jump tables and pointers are all aligned words of loaded data.
  void AddWords();
  // A relative jump table has 32-bit distances from its own start. It ends where the next begins or
  // where a distance leads out of the code.
  void AddJumpTables();

  const ElfImage& image_;
  ZydisDecoder decoder_;  // lengths and branches
  ZydisDecoder full_;     // operands too
  size_t range_ = 0;
  uint32_t syscalls_ = 0;
  std::vector<uint64_t> hits_;  // sorted, as code() is
  std::vector<Site> sites_;
  std::vector<Function> functions_;  // sorted, disjoint
  std::vector<Jump> jumps_;          // from one function to another that has sites, and more
  std::vector<uint64_t> tables_;
  std::vector<std::vector<bool>> targets_;  // per code range, a bit per byte
};

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_SITE_SCANNER_H_
