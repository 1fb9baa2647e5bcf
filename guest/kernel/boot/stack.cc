// stack.cc: the first stack of the program.
#include "guest/kernel/boot/elf_loader.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/host/random.h"
#include "guest/kernel/memory/address_space.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"

namespace usetl::kernel {
namespace {

constexpr uint64_t kStackSize = 8 << 20;

// <linux/auxvec.h>
enum AuxType : uint64_t {
  kPhdr = 3,
  kPhent = 4,
  kPhnum = 5,
  kPagesz = 6,
  kBase = 7,
  kFlags = 8,
  kEntry = 9,
  kUid = 11,
  kEuid = 12,
  kGid = 13,
  kEgid = 14,
  kPlatform = 15,
  kHwcap = 16,
  kClktck = 17,
  kSecure = 23,
  kRandom = 25,
  kHwcap2 = 26,
  kExecfn = 31,
  kMinSigStack = 51,
};

uint64_t Hwcap() {
  uint32_t a = 1, b, c = 0, d;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return d;
}

class StackWriter {
 public:
  explicit StackWriter(uint64_t top) : at_(top) {}
  uint64_t Bytes(const void* data, uint64_t size) {
    at_ -= size;
    ok_ = ok_ && CopyToUser(reinterpret_cast<void*>(at_), data, size);
    return at_;
  }
  uint64_t at() const { return at_; }
  void Align(uint64_t down_to) { at_ &= ~(down_to - 1); }
  bool ok() const { return ok_; }

 private:
  uint64_t at_;
  bool ok_ = true;
};

}  // namespace

int64_t BuildStack(const Program& program, const Arguments& arguments) {
  const uint32_t strings = arguments.argc + arguments.envc;
  if (strings > kMaxArguments || arguments.size > 2 * kMaxArgumentBytes) return -E2BIG;
  const int64_t region =
      MapMemory(0, kStackSize, abi::kProtRead | abi::kProtWrite,
                kMapPrivate | kMapAnonymous | kMapStack | kMapDenyWrite, nullptr, 0);
  if (region < 0) return region;

  StackWriter writer(static_cast<uint64_t>(region) + kStackSize);
  const uint64_t path = writer.Bytes(arguments.path, strlen(arguments.path) + 1);
  const uint64_t text = writer.Bytes(arguments.strings, arguments.size);
  uint8_t seed[16];
  FillRandom(seed, sizeof seed);
  const uint64_t random = writer.Bytes(seed, sizeof seed);
  const uint64_t platform = writer.Bytes("x86_64", 7);
  writer.Align(16);

  static uint64_t words[kMaxArguments + 64];
  uint32_t n = 0;
  words[n++] = arguments.argc;
  uint64_t offset = 0;
  for (uint32_t i = 0; i < strings; ++i) {
    if (i == arguments.argc) words[n++] = 0;
    words[n++] = text + offset;
    offset += strlen(arguments.strings + offset) + 1;
  }
  if (arguments.envc == 0) words[n++] = 0;
  words[n++] = 0;
  const auto aux = [&](uint64_t type, uint64_t value) {
    words[n++] = type;
    words[n++] = value;
  };
  aux(kPhdr, program.headers);
  aux(kPhent, 56);
  aux(kPhnum, program.header_count);
  aux(kPagesz, abi::kPageSize);
  aux(kBase, program.interpreter);
  aux(kFlags, 0);
  aux(kEntry, program.program_entry);
  aux(kUid, 0);
  aux(kEuid, 0);
  aux(kGid, 0);
  aux(kEgid, 0);
  aux(kSecure, 0);
  aux(kRandom, random);
  aux(kPlatform, platform);
  aux(kHwcap, Hwcap());
  aux(kHwcap2, 2);  // FSGSBASE may be used
  aux(kClktck, 100);
  aux(kExecfn, path);
  aux(kMinSigStack, 4096);
  aux(0, 0);
  if (n % 2 != 0) {
    const uint64_t pad = 0;
    writer.Bytes(&pad, sizeof pad);  // keeps RSP 16-byte aligned
  }
  writer.Bytes(words, n * sizeof words[0]);
  return writer.ok() ? static_cast<int64_t>(writer.at()) : -EFAULT;
}

}  // namespace usetl::kernel
