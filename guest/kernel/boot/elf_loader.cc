#include "guest/kernel/boot/elf_loader.h"

#include "guest/kernel/fs/root.h"
#include "guest/kernel/memory/address_space.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "vmm/abi/control.h"

namespace usetl::kernel {
namespace {

struct ElfHeader {
  uint8_t ident[16];
  uint16_t type, machine;
  uint32_t version;
  uint64_t entry, phoff, shoff;
  uint32_t flags;
  uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
static_assert(sizeof(ElfHeader) == 64);

struct ProgramHeader {
  uint32_t type, flags;
  uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
static_assert(sizeof(ProgramHeader) == 56);

constexpr uint16_t kExecutable = 2, kShared = 3, kX8664 = 62;
constexpr uint32_t kLoad = 1, kInterpreter = 3;
constexpr uint32_t kMaxHeaders = 64;
constexpr uint64_t kPage = abi::kPageSize;

uint64_t Down(uint64_t v) { return v & ~(kPage - 1); }
uint64_t Up(uint64_t v) { return (v + kPage - 1) & ~(kPage - 1); }

uint32_t ProtectionOf(uint32_t flags) {
  uint32_t protection = 0;
  if (flags & 4) protection |= abi::kProtRead;
  if (flags & 2) protection |= abi::kProtWrite;
  if (flags & 1) protection |= abi::kProtExec;
  return protection;
}

struct Image {
  ElfHeader header;
  ProgramHeader segments[kMaxHeaders];
  uint64_t base = 0;  // added to every address
  uint64_t low = ~0ull, high = 0;
};

int64_t CheckHeader(const ElfHeader& h) {
  if (memcmp(h.ident, "\177ELF\2\1", 6) != 0 || h.machine != kX8664) return -ENOEXEC;
  return h.type == kExecutable || h.type == kShared ? 0 : -ENOEXEC;
}

int64_t ReadHeaders(File* file, Image* image) {
  *image = Image();
  if (file->ReadAt(&image->header, sizeof(ElfHeader), 0) != sizeof(ElfHeader)) return -ENOEXEC;
  const ElfHeader& h = image->header;
  if (const int64_t error = CheckHeader(h); error != 0) return error;
  if (h.phnum == 0 || h.phnum > kMaxHeaders || h.phentsize != sizeof(ProgramHeader)) {
    return -ENOEXEC;
  }
  const int64_t bytes = h.phnum * int64_t{sizeof(ProgramHeader)};
  if (file->ReadAt(image->segments, bytes, h.phoff) != bytes) return -ENOEXEC;
  for (uint32_t i = 0; i < h.phnum; ++i) {
    const ProgramHeader& s = image->segments[i];
    if (s.type != kLoad) continue;
    if (s.memsz < s.filesz || s.vaddr + s.memsz < s.vaddr || s.vaddr + s.memsz > 1ull << 46 ||
        s.vaddr % kPage != s.offset % kPage) {
      return -ENOEXEC;
    }
    if (Down(s.vaddr) < image->low) image->low = Down(s.vaddr);
    if (Up(s.vaddr + s.memsz) > image->high) image->high = Up(s.vaddr + s.memsz);
  }
  return image->high > image->low ? 0 : -ENOEXEC;
}

int64_t MapSegments(File* file, Image* image) {
  constexpr uint32_t kReserve = kMapPrivate | kMapAnonymous;
  const bool fixed = image->header.type == kExecutable;
  const int64_t reserved = MapMemory(fixed ? image->low : 0, image->high - image->low, 0,
                                     kReserve | (fixed ? kMapFixedNoReplace : 0), nullptr, 0);
  if (reserved < 0) return reserved;
  image->base = static_cast<uint64_t>(reserved) - image->low;
  for (uint32_t i = 0; i < image->header.phnum; ++i) {
    const ProgramHeader& s = image->segments[i];
    if (s.type != kLoad || s.memsz == 0) continue;
    const uint32_t protection = ProtectionOf(s.flags);
    const uint64_t begin = Down(image->base + s.vaddr);
    const uint64_t file_end = image->base + s.vaddr + s.filesz;
    const uint64_t memory_end = Up(image->base + s.vaddr + s.memsz);
    if (s.filesz != 0) {
      const int64_t at = MapMemory(begin, file_end - begin, protection,
                                   kMapPrivate | kMapFixed | kMapDenyWrite, file, Down(s.offset));
      if (at < 0) return at;
    }
    if (memory_end > Up(file_end)) {
      const int64_t at = MapMemory(Up(file_end), memory_end - Up(file_end), protection,
                                   kReserve | kMapFixed, nullptr, 0);
      if (at < 0) return at;
    }
    // The rest of the last file page belongs to .bss.
    if (s.memsz > s.filesz && file_end % kPage != 0 && (protection & abi::kProtWrite) &&
        !ZeroUser(reinterpret_cast<void*>(file_end), Up(file_end) - file_end)) {
      return -ENOEXEC;
    }
  }
  return 0;
}

// Opens and reads headers. The caller unrefs the file.
int64_t OpenImage(const char* path, Image* image, File** file) {
  if (const int64_t error = OpenForExec(path, file); error != 0) return error;
  const int64_t error = ReadHeaders(*file, image);
  if (error != 0) (*file)->Unref();
  return error;
}

int64_t LoadImage(const char* path, Image* image) {
  File* file = nullptr;
  if (const int64_t error = OpenImage(path, image, &file); error != 0) return error;
  const int64_t error = MapSegments(file, image);
  file->Unref();
  return error;
}

Image g_program, g_interpreter;

constexpr uint64_t kInterpreterRoom = 256;

// The path of the program's PT_INTERP into `path`; empty: it has none. 0 or -errno.
int64_t ReadInterpreter(File* file, const Image& program, char* path) {
  path[0] = 0;
  for (uint32_t i = 0; i < program.header.phnum; ++i) {
    const ProgramHeader& s = program.segments[i];
    if (s.type != kInterpreter) continue;
    if (s.filesz == 0 || s.filesz > kInterpreterRoom) return -ENOEXEC;
    if (file->ReadAt(path, s.filesz, s.offset) != static_cast<int64_t>(s.filesz)) return -ENOEXEC;
    path[s.filesz - 1] = 0;
    break;
  }
  return 0;
}

// Reads headers of the program into g_program, and the path of its interpreter.
int64_t ReadProgram(const char* path, char* interpreter) {
  File* file = nullptr;
  if (const int64_t error = OpenImage(path, &g_program, &file); error != 0) return error;
  const int64_t error = ReadInterpreter(file, g_program, interpreter);
  file->Unref();
  return error;
}

}  // namespace

int64_t CheckProgram(const char* path) {
  char interpreter[kInterpreterRoom];
  if (const int64_t error = ReadProgram(path, interpreter); error != 0) return error;
  if (interpreter[0] == 0) return 0;
  File* file = nullptr;
  const int64_t error = OpenImage(interpreter, &g_interpreter, &file);
  if (error != 0) return error == -ENOEXEC ? -ELIBBAD : error;
  file->Unref();
  return 0;
}

int64_t LoadProgram(const char* path, Program* program) {
  char interpreter[kInterpreterRoom];
  if (const int64_t error = ReadProgram(path, interpreter); error != 0) return error;
  if (const int64_t error = LoadImage(path, &g_program); error != 0) return error;
  program->program_entry = program->entry = g_program.base + g_program.header.entry;
  program->header_count = g_program.header.phnum;
  for (uint32_t i = 0; i < g_program.header.phnum; ++i) {
    const ProgramHeader& s = g_program.segments[i];
    if (s.type == kLoad && s.offset <= g_program.header.phoff &&
        g_program.header.phoff < s.offset + s.filesz) {
      program->headers = g_program.base + s.vaddr + (g_program.header.phoff - s.offset);
    }
  }
  if (interpreter[0] == 0) return 0;
  if (const int64_t error = LoadImage(interpreter, &g_interpreter); error != 0) return error;
  program->interpreter = g_interpreter.base;
  program->entry = g_interpreter.base + g_interpreter.header.entry;
  return 0;
}

}  // namespace usetl::kernel
