#include "vmm/proxy/daemon/library_data.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "vmm/base/fd.h"

namespace usetl {
namespace {

constexpr uintptr_t kPage = 4096;

struct Segment {
  uintptr_t begin, end;
  int protection;
};

uintptr_t Down(uintptr_t address) { return address & ~(kPage - 1); }
uintptr_t Up(uintptr_t address) { return Down(address + kPage - 1); }

// Written by every worker at once: of the C library itself, and of this program (without a name).
bool IsLeft(std::string_view name) {
  return name.empty() || name.find("/ld-linux") != name.npos ||
         name.find("/libc.so") != name.npos || name.find("vdso") != name.npos;
}

int AddSegments(dl_phdr_info* info, size_t, void* to) {
  if (IsLeft(info->dlpi_name)) return 0;
  auto* segments = static_cast<std::vector<Segment>*>(to);
  uintptr_t read_only_end = 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type != PT_GNU_RELRO) continue;
    read_only_end = Down(info->dlpi_addr + header.p_vaddr + header.p_memsz);
  }
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD || (header.p_flags & PF_W) == 0) continue;
    const uintptr_t begin = Down(info->dlpi_addr + header.p_vaddr);
    const uintptr_t end = Up(info->dlpi_addr + header.p_vaddr + header.p_memsz);
    const uintptr_t middle = std::clamp(read_only_end, begin, end);
    if (begin != middle) segments->push_back({begin, middle, PROT_READ});
    if (middle != end) segments->push_back({middle, end, PROT_READ | PROT_WRITE});
  }
  return 0;
}

bool IsZero(const uint8_t* page) {
  return page[0] == 0 && std::memcmp(page, page + 1, kPage - 1) == 0;
}

}  // namespace

Status ShareLibraryData() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return Status();  // they have libraries of their own, and threads that write there
#endif
  std::vector<Segment> segments;
  dl_iterate_phdr(AddSegments, &segments);
  const Fd file(memfd_create("usetl-libraries", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.ok()) return Status::Errno("memfd_create");
  off_t size = 0;
  for (const Segment& segment : segments) {
    for (uintptr_t at = segment.begin; at < segment.end; at += kPage, size += kPage) {
      const auto* page = reinterpret_cast<const uint8_t*>(at);
      if (IsZero(page)) continue;
      if (pwrite(file.get(), page, kPage, size) != kPage) return Status::Errno("copying libraries");
    }
  }
  if (ftruncate(file.get(), size) != 0) return Status::Errno("copying libraries");
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  if (fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) return Status::Errno("sealing libraries");
  off_t offset = 0;
  for (const Segment& segment : segments) {
    const size_t length = segment.end - segment.begin;
    void* const at = reinterpret_cast<void*>(segment.begin);
    if (mmap(at, length, segment.protection, MAP_PRIVATE | MAP_FIXED, file.get(), offset) != at) {
      return Status::Errno("mapping libraries");
    }
    offset += static_cast<off_t>(length);
  }
  return Status();
}

}  // namespace usetl
