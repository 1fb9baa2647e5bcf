#include "guest/kernel/file/descriptors.h"

#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

// A pointer with the close-on-exec flag in bit 0.
uint64_t* g_table = nullptr;
uint32_t g_size = 0;
uint32_t g_limit = kMaxDescriptors;
uint32_t g_lowest_free = 0;  // every descriptor below is open

File* FileOf(uint64_t entry) { return reinterpret_cast<File*>(entry & ~1ull); }

bool Reserve(uint32_t fd) {
  if (fd < g_size) return true;
  uint32_t size = g_size == 0 ? 256 : g_size;
  while (size <= fd) size *= 2;
  auto* table = static_cast<uint64_t*>(Allocate(size * sizeof(uint64_t)));
  if (table == nullptr) return false;
  memset(table, 0, size * sizeof(uint64_t));
  if (g_size != 0) memcpy(table, g_table, g_size * sizeof(uint64_t));
  Free(g_table);
  g_table = table;
  g_size = size;
  return true;
}

}  // namespace

File* GetFile(int fd) {
  if (fd < 0 || static_cast<uint32_t>(fd) >= g_size) return nullptr;
  return FileOf(g_table[fd]);
}

int64_t InstallFile(File* file, bool close_on_exec, int lowest) {
  uint32_t fd = static_cast<uint32_t>(lowest) > g_lowest_free ? lowest : g_lowest_free;
  while (fd < g_size && g_table[fd] != 0) ++fd;
  if (fd >= g_limit || !Reserve(fd)) {
    file->Unref();
    return -EMFILE;
  }
  g_table[fd] = reinterpret_cast<uint64_t>(file) | (close_on_exec ? 1 : 0);
  if (static_cast<uint32_t>(lowest) <= g_lowest_free) g_lowest_free = fd + 1;
  return fd;
}

bool HasFreeDescriptor() {
  uint32_t fd = g_lowest_free;
  while (fd < g_size && g_table[fd] != 0) ++fd;
  return fd < g_limit;
}

int64_t InstallFileAt(File* file, bool close_on_exec, int fd) {
  if (fd < 0 || static_cast<uint32_t>(fd) >= g_limit || !Reserve(fd)) {
    file->Unref();
    return -EBADF;
  }
  File* old = FileOf(g_table[fd]);
  g_table[fd] = reinterpret_cast<uint64_t>(file) | (close_on_exec ? 1 : 0);
  if (old != nullptr) old->Unref();
  return fd;
}

int64_t CloseDescriptor(int fd) {
  File* file = GetFile(fd);
  if (file == nullptr) return -EBADF;
  g_table[fd] = 0;
  if (static_cast<uint32_t>(fd) < g_lowest_free) g_lowest_free = fd;
  file->Unref();
  return 0;
}

void FileRef::DropAll(Thread* thread) {
  for (FileRef* ref = thread->held; ref != nullptr; ref = ref->next_) {
    if (ref->file_ != nullptr) ref->file_->Unref();
    ref->file_ = nullptr;
  }
  thread->held = nullptr;
}

void CloseForExec() {
  for (int fd = NextDescriptor(0); fd >= 0; fd = NextDescriptor(fd + 1)) {
    if (GetCloseOnExec(fd)) CloseDescriptor(fd);
  }
}

void ForgetDescriptors() {
  if (g_size != 0) memset(g_table, 0, g_size * sizeof(uint64_t));
  g_lowest_free = 0;
  g_limit = kMaxDescriptors;
}

uint32_t GetDescriptorLimit() { return g_limit; }
void SetDescriptorLimit(uint32_t limit) {
  g_limit = limit < kMaxDescriptors ? limit : kMaxDescriptors;
}

bool GetCloseOnExec(int fd) { return g_table[fd] & 1; }

void SetCloseOnExec(int fd, bool value) { g_table[fd] = (g_table[fd] & ~1ull) | (value ? 1 : 0); }

int NextDescriptor(int fd) {
  for (uint32_t i = fd < 0 ? 0 : fd; i < g_size; ++i) {
    if (g_table[i] != 0) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace usetl::kernel
