#include "vmm/pack/syscall_rewriter.h"

#include <cstring>
#include <optional>
#include <vector>

#include "vmm/abi/layout.h"
#include "vmm/pack/elf_image.h"
#include "vmm/pack/site_scanner.h"

namespace usetl::pack {

static_assert(abi::kSyscallEntryTable + 8 * abi::kSyscallCount <= 0x8000'0000);

RewriteCounts RewriteSyscalls(std::span<uint8_t> file) {
  const std::optional<ElfImage> image = ElfImage::Parse(file);
  if (!image) return {};
  SiteScanner scanner(*image);
  scanner.Scan();
  const auto safe = scanner.SafeSites();
  for (const SiteScanner::SafeSite& found : safe) {
    uint8_t* site = file.data() + found.offset;
    if (found.form == SiteForm::kMove) {
      constexpr size_t kMoveSize = 5;
      std::memmove(site, site + kMoveSize, found.between);
      site += found.between;
    }
    const uint32_t entry = abi::kSyscallEntryTable + 8 * found.number;
    const uint8_t call[] = {0xff, 0x14, 0x25};
    std::memcpy(site, call, sizeof(call));
    std::memcpy(site + sizeof(call), &entry, sizeof(entry));
    if (found.form == SiteForm::kZero) {
      const uint8_t nop[] = {0x0f, 0x1f, 0x00};
      std::memcpy(site + sizeof(call) + sizeof(entry), nop, sizeof(nop));
    }
  }
  const auto rewritten = static_cast<uint32_t>(safe.size());
  return {rewritten, scanner.syscalls() - rewritten};
}

}  // namespace usetl::pack
