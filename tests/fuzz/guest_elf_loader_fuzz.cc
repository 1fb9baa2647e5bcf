// The guest kernel's ELF loader: any program and interpreter is refused, or maps nothing outside of
// what it has reserved.
#include <cstring>
#include <map>
#include <string_view>

#include "guest/kernel/boot/elf_loader.h"
#include "guest/kernel/fs/root.h"
#include "guest/kernel/memory/address_space.h"
#include "guest/kernel/memory/user.h"
#include "vmm/abi/layout.h"

namespace {

using namespace usetl::kernel;  // NOLINT

void Require(bool condition) {
  if (!condition) __builtin_trap();
}

// The input is the program, then (behind the size in its first bytes) the interpreter.
std::string_view g_program, g_interpreter;
int g_open = 0;

class InputFile final : public File {
 public:
  explicit InputFile(std::string_view bytes) : bytes_(bytes) { ++g_open; }
  ~InputFile() override { --g_open; }
  int64_t ReadAt(void* user, uint64_t size, uint64_t offset) override {
    if (offset >= bytes_.size()) return 0;
    const size_t count = std::min<uint64_t>(size, bytes_.size() - offset);
    std::memcpy(user, bytes_.data() + offset, count);
    return static_cast<int64_t>(count);
  }

 private:
  std::string_view bytes_;
};

// What is reserved, begin to end; nothing is really mapped.
std::map<uint64_t, uint64_t> g_reserved;
uint64_t g_next;

bool Reserved(uint64_t begin, uint64_t length) {
  auto it = g_reserved.upper_bound(begin);
  if (it == g_reserved.begin()) return false;
  --it;
  return begin >= it->first && length <= it->second - begin && begin <= it->second;
}

}  // namespace

namespace usetl::kernel {

class FileDeleter {
 public:
  static void Delete(File* file) { delete file; }
};
void File::Unref() {
  if (--references_ == 0) FileDeleter::Delete(this);
}
int64_t File::Read(void*, uint64_t) { return -EINVAL; }
int64_t File::Write(const void*, uint64_t) { return -EINVAL; }
int64_t File::ReadAt(void*, uint64_t, uint64_t) { return -EINVAL; }
int64_t File::WriteAt(const void*, uint64_t, uint64_t) { return -EINVAL; }
int64_t File::Seek(int64_t, int) { return -EINVAL; }
int64_t File::GetStat(Stat*) { return -EINVAL; }
int64_t File::Ioctl(uint64_t, uint64_t) { return -EINVAL; }
int64_t File::Truncate(uint64_t) { return -EINVAL; }
int64_t File::ReadDirectory(void*, uint64_t) { return -EINVAL; }
int64_t File::Map(uint64_t, uint64_t, const MapAccess&, MapSource*) { return -EINVAL; }
uint32_t File::Poll() { return 0; }
int64_t File::Name(char*, uint64_t) { return -EINVAL; }

int64_t OpenForExec(const char* path, File** file) {
  *file = new InputFile(std::string_view(path) == "/program" ? g_program : g_interpreter);
  return 0;
}

int64_t MapMemory(uint64_t address, uint64_t length, uint32_t protection, uint32_t flags, File*,
                  uint64_t offset) {
  // As the real one refuses them.
  if (length == 0 || address % abi::kPageSize != 0 || offset % abi::kPageSize != 0) return -EINVAL;
  length = (length + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
  if (length > abi::kMapped.size) return -ENOMEM;
  if ((protection & 6) == 6) return -EACCES;
  if (flags & kMapFixed) {
    Require(Reserved(address, length));
    return static_cast<int64_t>(address);
  }
  if (flags & kMapFixedNoReplace) {
    if (!abi::kLowMapped.Contains(address, length)) return -EEXIST;
    for (const auto& [begin, end] : g_reserved) {
      if (begin < address + length && address < end) return -EEXIST;
    }
  } else {
    address = g_next;
    g_next += length;
  }
  g_reserved[address] = address + length;
  return static_cast<int64_t>(address);
}

bool ZeroUser(void* user, uint64_t size) {
  Require(Reserved(reinterpret_cast<uint64_t>(user), size) && size < abi::kPageSize);
  return true;
}

}  // namespace usetl::kernel

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t split = std::min<size_t>(data[0] | data[1] << 8, size - 2);
  g_program = all.substr(2, split);
  g_interpreter = all.substr(2 + split);
  g_reserved.clear();
  g_next = usetl::abi::kMapped.base;
  Program program;
  // execve() loads what the check has let through.
  (void)CheckProgram("/program");
  (void)LoadProgram("/program", &program);
  Require(g_open == 0);  // every way out lets go of the files
  return 0;
}
