#include "guest/kernel/fs/process_directory.h"

#include "guest/kernel/boot/program.h"
#include "guest/kernel/file/descriptors.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/root.h"
#include "guest/kernel/fs/tree_file.h"
#include "guest/kernel/host/clock.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/linux/fcntl.h"
#include "guest/kernel/memory/address_space.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/heap.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/thread/identity.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {
namespace {

constexpr uint64_t kTextSize = 64 << 10;

struct Text {
  char* bytes;
  uint32_t size = 0;

  template <typename... Args>
  void Add(const char* format, Args... args) {
    size += Format(bytes + size, static_cast<uint32_t>(kTextSize - size), format, args...);
  }
};

// A file whose text was made when it was opened.
class TextFile final : public File {
 public:
  explicit TextFile(char* bytes, uint32_t size) : bytes_(bytes), size_(size) {}
  ~TextFile() override { Free(bytes_); }
  int64_t ReadAt(void* user, uint64_t size, uint64_t offset) override {
    if (offset >= size_) return 0;
    if (size > size_ - offset) size = size_ - offset;
    return CopyToUser(user, bytes_ + offset, size) ? static_cast<int64_t>(size) : -EFAULT;
  }
  int64_t Read(void* user, uint64_t size) override {
    const int64_t got = ReadAt(user, size, position_);
    if (got > 0) position_ += got;
    return got;
  }
  int64_t Seek(int64_t offset, int whence) override {
    if (whence == kSeekCurrent) offset += static_cast<int64_t>(position_);
    if (whence == kSeekEnd) offset += size_;
    if (offset < 0) return -EINVAL;
    position_ = static_cast<uint64_t>(offset);
    return offset;
  }
  int64_t GetStat(Stat* stat) override {
    *stat = {};
    stat->mode = kStatModeRegular | 0444;
    stat->links = 1;
    stat->block_size = 1024;
    return 0;
  }

 private:
  char* bytes_;
  uint32_t size_;
  uint64_t position_ = 0;
};

void Maps(Text* text) {
  VisitMappings(
      [](void* context, const MappingInfo& m) {
        char name[256] = "";
        if (m.file != nullptr) {
          const int64_t length = m.file->Name(name, sizeof name - 1);
          name[length > 0 ? length : 0] = 0;
        }
        static_cast<Text*>(context)->Add("%x-%x %s%s%s%s %x 00:01 1 %s\n", m.begin, m.end,
                                         (m.protection & abi::kProtRead) ? "r" : "-",
                                         (m.protection & abi::kProtWrite) ? "w" : "-",
                                         (m.protection & abi::kProtExec) ? "x" : "-",
                                         m.shared ? "s" : "p", m.offset, name);
      },
      text);
}

void StringList(Text* text, uint32_t first, uint32_t count) {
  const char* strings = CurrentArguments().strings;
  uint64_t at = 0;
  for (uint32_t i = 0; i < first + count; ++i) {
    const uint64_t length = strlen(strings + at) + 1;
    if (i >= first && text->size + length < kTextSize) {
      memcpy(text->bytes + text->size, strings + at, length);
      text->size += static_cast<uint32_t>(length);
    }
    at += length;
  }
}

void Status(Text* text) {
  text->Add("Name:\t%s\nState:\tR (running)\nTgid:\t%d\nPid:\t%d\nPPid:\t0\nUid:\t0\t0\t0\t0\n",
            g_current->name, int64_t{ProcessId()}, int64_t{ProcessId()});
  text->Add("Gid:\t0\t0\t0\t0\nVmPeak:\t%u kB\nVmSize:\t%u kB\nVmHWM:\t%u kB\nVmRSS:\t%u kB\n",
            HeapUsed() / 1024, HeapUsed() / 1024, HeapUsed() / 1024, HeapUsed() / 1024);
  text->Add("Threads:\t%u\nCpus_allowed_list:\t0\n", uint64_t{g_thread_count});
}

void MemoryInfo(Text* text) {
  const uint64_t total = host_page().ram_limit - abi::kHeapBase;
  const uint64_t free = total > HeapUsed() ? total - HeapUsed() : 0;
  text->Add("MemTotal:\t%u kB\nMemFree:\t%u kB\nMemAvailable:\t%u kB\nBuffers:\t0 kB\n",
            total / 1024, free / 1024, free / 1024);
  text->Add("Cached:\t0 kB\nSwapTotal:\t0 kB\nSwapFree:\t0 kB\n");
}

void Stat1(Text* text) {
  text->Add("%d (python3.11) R 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 %u 0 0 %u %u 0 0 0 0 0 0 0 0 0\n",
            int64_t{ProcessId()}, uint64_t{g_thread_count}, HeapUsed(), HeapUsed() / 4096);
}

struct Entry {
  const char* name;
  void (*make)(Text* text);
};
constexpr Entry kProcess[] = {
    {"maps", Maps},
    {"status", Status},
    {"stat", Stat1},
    {"statm",
     [](Text* t) {
       t->Add("%u %u 0 0 0 %u 0\n", HeapUsed() / 4096, HeapUsed() / 4096, HeapUsed() / 4096);
     }},
    {"cmdline", [](Text* t) { StringList(t, 0, CurrentArguments().argc); }},
    {"environ", [](Text* t) { StringList(t, CurrentArguments().argc, CurrentArguments().envc); }},
    {"cgroup", [](Text* t) { t->Add("0::/\n"); }},
    {"comm", [](Text* t) { t->Add("%s\n", g_current->name[0] ? g_current->name : "python3.11"); }},
    {"limits", [](Text* t) { t->Add("Max open files 65536 65536 files\n"); }},
    {"mountinfo", [](Text* t) { t->Add("1 0 0:1 / / rw - usetl usetl rw\n"); }},
};
constexpr Entry kSystem[] = {
    {"meminfo", MemoryInfo},
    {"cpuinfo", [](Text* t) { t->Add("processor\t: 0\nmodel name\t: USETL vCPU\n\n"); }},
    {"uptime", [](Text* t) { t->Add("%u.00 0.00\n", Monotonic() / 1'000'000'000); }},
    {"version", [](Text* t) { t->Add("Linux version 6.1.0-usetl\n"); }},
    {"loadavg", [](Text* t) { t->Add("0.00 0.00 0.00 1/1 1\n"); }},
    {"filesystems", [](Text* t) { t->Add("nodev\tusetl\n"); }},
    {"mounts",
     [](Text* t) {
       t->Add(MayChange(RootNode()) == 0 ? "usetl / usetl rw 0 0\n" : "usetl / usetl ro 0 0\n");
     }},
};

bool Is(const char* a, const char* b) {
  const size_t length = strlen(b);
  return strlen(a) == length && memcmp(a, b, length) == 0;
}

// What follows "self/", the process id or "thread-self/"; null for anything else.
const char* OwnPart(const char* rest) {
  char number[16];
  Format(number, sizeof number, "%d", int64_t{ProcessId()});
  for (const char* prefix : {"self", static_cast<const char*>(number), "thread-self"}) {
    const size_t length = strlen(prefix);
    if (strlen(rest) < length || memcmp(rest, prefix, length) != 0) continue;
    if (rest[length] == 0) return rest + length;
    if (rest[length] == '/') return rest + length + 1;
  }
  return nullptr;
}

const Entry* FindEntry(const char* rest) {
  const char* own = OwnPart(rest);
  if (own != nullptr) {
    for (const Entry& entry : kProcess) {
      if (Is(own, entry.name)) return &entry;
    }
    return nullptr;
  }
  for (const Entry& entry : kSystem) {
    if (Is(rest, entry.name)) return &entry;
  }
  return nullptr;
}

bool IsDirectory(const char* rest) {
  const char* own = OwnPart(rest);
  return rest[0] == 0 || (own != nullptr && (own[0] == 0 || Is(own, "fd") || Is(own, "task")));
}

// The descriptor in "self/fd/N", or -1.
int DescriptorOf(const char* rest) {
  const char* own = OwnPart(rest);
  if (own == nullptr || strlen(own) < 4 || memcmp(own, "fd/", 3) != 0) return -1;
  int fd = 0;
  for (const char* c = own + 3; *c != 0; ++c) {
    if (*c < '0' || *c > '9' || fd > 100'000) return -1;
    fd = fd * 10 + (*c - '0');
  }
  return fd;
}

class Process final : public SpecialDirectory {
 public:
  int64_t Open(const char* rest, int flags, File** file) override {
    if (IsDirectory(rest)) {
      *file = NewSpecialDirectoryFile(this, rest);
      return *file == nullptr ? -ENOMEM : 0;
    }
    if (const int fd = DescriptorOf(rest); fd >= 0) {
      *file = GetFile(fd);
      if (*file == nullptr) return -ENOENT;
      (*file)->Ref();
      return 0;
    }
    const char* own = OwnPart(rest);
    if (own != nullptr && Is(own, "exe")) return OpenForExec(CurrentArguments().path, file);
    const Entry* entry = FindEntry(rest);
    if (entry == nullptr) return -ENOENT;
    if (flags & 3) return -EACCES;
    Text text{static_cast<char*>(Allocate(kTextSize))};
    if (text.bytes == nullptr) return -ENOMEM;
    entry->make(&text);
    *file = New<TextFile>(text.bytes, text.size);
    if (*file == nullptr) Free(text.bytes);
    return *file == nullptr ? -ENOMEM : 0;
  }
  int64_t GetStat(const char* rest, bool follow, Stat* stat) override {
    *stat = {};
    stat->links = 1;
    stat->inode = 1;
    stat->block_size = 1024;
    const char* own = OwnPart(rest);
    const int fd = DescriptorOf(rest);
    const bool link =
        fd >= 0 || (own != nullptr && (Is(own, "exe") || Is(own, "cwd") || Is(own, "root")));
    if (link && !follow) {
      stat->mode = kStatModeLink | 0777;
      return fd >= 0 && GetFile(fd) == nullptr ? -ENOENT : 0;
    }
    if (fd >= 0) return GetFile(fd) == nullptr ? -ENOENT : GetFile(fd)->GetStat(stat);
    if (own != nullptr && Is(own, "exe")) {
      File* file;
      if (const int64_t error = OpenForExec(CurrentArguments().path, &file); error != 0)
        return error;
      const int64_t result = file->GetStat(stat);
      file->Unref();
      return result;
    }
    if (IsDirectory(rest) || link) {
      stat->mode = kStatModeDirectory | 0555;
      return 0;
    }
    stat->mode = kStatModeRegular | 0444;
    return FindEntry(rest) == nullptr ? -ENOENT : 0;
  }
  int64_t ReadLink(const char* rest, char* buffer, uint64_t size) override {
    const char* own = OwnPart(rest);
    if (Is(rest, "self")) {
      char number[16];
      const uint64_t length = Format(number, sizeof number, "%d", int64_t{ProcessId()});
      const uint64_t kept = length < size ? length : size;
      memcpy(buffer, number, kept);
      return static_cast<int64_t>(kept);
    }
    if (const int fd = DescriptorOf(rest); fd >= 0) {
      File* file = GetFile(fd);
      if (file == nullptr) return -ENOENT;
      const int64_t length = file->Name(buffer, size);
      if (length > 0) return length;
      char name[64];
      const uint32_t count = Format(name, sizeof name, "anon_inode:[%d]", int64_t{fd});
      memcpy(buffer, name, count < size ? count : size);
      return count < size ? count : static_cast<int64_t>(size);
    }
    if (own == nullptr) return FindEntry(rest) == nullptr ? -ENOENT : -EINVAL;
    if (Is(own, "exe")) {
      const char* path = CurrentArguments().path;
      const uint64_t length = strlen(path) < size ? strlen(path) : size;
      memcpy(buffer, path, length);
      return static_cast<int64_t>(length);
    }
    if (Is(own, "cwd") || Is(own, "root")) {
      return PathOf(Is(own, "cwd") ? CurrentDirectory() : RootNode(), buffer, size);
    }
    return FindEntry(rest) == nullptr ? -ENOENT : -EINVAL;
  }
  const char* List(const char* rest, uint64_t index, uint8_t* type) override {
    constexpr uint8_t kDirectory = 4, kRegular = 8, kLink = 10;
    const char* own = OwnPart(rest);
    if (own == nullptr) {
      constexpr uint64_t kCount = sizeof kSystem / sizeof kSystem[0];
      *type = index < kCount ? kRegular : kDirectory;
      return index < kCount ? kSystem[index].name : (index == kCount ? "self" : nullptr);
    }
    if (Is(own, "fd")) {
      *type = kLink;
      int fd = -1;
      for (uint64_t i = 0; i <= index; ++i) {
        fd = NextDescriptor(fd + 1);
        if (fd < 0) return nullptr;
      }
      static char name[16];
      Format(name, sizeof name, "%d", int64_t{fd});
      return name;
    }
    *type = kRegular;
    constexpr uint64_t kCount = sizeof kProcess / sizeof kProcess[0];
    return own[0] == 0 && index < kCount ? kProcess[index].name : nullptr;
  }
};

Process g_process;

}  // namespace

SpecialDirectory* ProcessDirectory() { return &g_process; }

}  // namespace usetl::kernel
