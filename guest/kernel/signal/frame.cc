#include "guest/kernel/signal/frame.h"

#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "vmm/abi/layout.h"

namespace usetl::kernel {
namespace {

// arch/x86/include/uapi/asm/sigcontext.h and ucontext.h of Linux.
struct SignalContext {
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
  uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
  uint16_t cs, gs, fs, ss;
  uint64_t error, trap, old_mask, cr2, vector_state;
  uint64_t reserved[8];
};
static_assert(sizeof(SignalContext) == 256);

struct UserContext {
  uint64_t flags;
  uint64_t link;
  uint64_t stack_base;
  uint32_t stack_flags;
  uint32_t padding;
  uint64_t stack_size;
  SignalContext context;
  uint64_t mask;
};
static_assert(sizeof(UserContext) == 304);

struct UserSignalInfo {
  int32_t signal, error, code, padding;
  uint64_t address_or_sender;
  uint64_t rest[13];
};
static_assert(sizeof(UserSignalInfo) == 128);

struct SignalFrame {
  uint64_t return_address;
  UserContext user;
  UserSignalInfo info;
};

constexpr uint64_t kRedZone = 128;
constexpr uint64_t kVectorMask = 0xe7;
constexpr uint64_t kVectorBytes = 2696;  // XSAVE with AVX-512, and a tail
constexpr uint32_t kStackOn = 1;
constexpr uint32_t kStackDisabled = 2;
alignas(64) uint8_t g_vectors[4096];

bool OnSignalStack(const SignalStack& stack, uint64_t rsp) {
  return !(stack.flags & kStackDisabled) && rsp > stack.base && rsp - stack.base <= stack.size;
}

}  // namespace

bool PushSignalFrame(TrapFrame* frame, const SignalAction& action, const SignalInfo& info) {
  Thread& self = *g_current;
  uint64_t stack = frame->rsp - kRedZone;
  const bool already = OnSignalStack(self.signal_stack, frame->rsp);
  if ((action.flags & kActionOnStack) && !already && !(self.signal_stack.flags & kStackDisabled)) {
    stack = self.signal_stack.base + self.signal_stack.size;
  }
  const uint64_t vectors = (stack - kVectorBytes) & ~63ull;
  // As after a call: RSP + 8 is 16-byte aligned.
  const uint64_t at = ((vectors - sizeof(SignalFrame)) & ~15ull) - 8;

  SignalFrame out{};
  out.return_address = action.restorer;
  out.user.stack_base = self.signal_stack.base;
  out.user.stack_flags = already ? kStackOn : self.signal_stack.flags;
  out.user.stack_size = self.signal_stack.size;
  SignalContext& c = out.user.context;
  c.r8 = frame->r8, c.r9 = frame->r9, c.r10 = frame->r10, c.r11 = frame->r11;
  c.r12 = frame->r12, c.r13 = frame->r13, c.r14 = frame->r14, c.r15 = frame->r15;
  c.rdi = frame->rdi, c.rsi = frame->rsi, c.rbp = frame->rbp, c.rbx = frame->rbx;
  c.rdx = frame->rdx, c.rax = frame->rax, c.rcx = frame->rcx;
  c.rsp = frame->rsp, c.rip = frame->rip, c.rflags = frame->rflags;
  c.cs = kUserCodeSelector, c.ss = kUserDataSelector;
  c.error = frame->error, c.trap = frame->vector;
  c.cr2 = info.address_or_sender;
  c.vector_state = vectors;
  const uint64_t mask = self.restore_mask ? self.saved_mask : self.signal_mask;
  c.old_mask = out.user.mask = mask;
  self.restore_mask = false;
  out.info = {info.signal, info.error, info.code, 0, info.address_or_sender, {}};

  memset(g_vectors, 0, sizeof g_vectors);
  asm volatile("xsave64 (%0)" : : "r"(g_vectors), "a"(kVectorMask), "d"(0) : "memory");
  if (!CopyToUser(reinterpret_cast<void*>(vectors), g_vectors, kVectorBytes)) return false;
  if (!CopyToUser(reinterpret_cast<void*>(at), &out, sizeof out)) return false;

  self.signal_mask |= action.mask;
  if (!(action.flags & kActionNoDefer)) self.signal_mask |= SignalBit(info.signal);
  frame->rdi = static_cast<uint64_t>(info.signal);
  frame->rsi = at + offsetof(SignalFrame, info);
  frame->rdx = at + offsetof(SignalFrame, user);
  frame->rax = 0;
  frame->rsp = at;
  frame->rip = action.handler;
  frame->rflags = kInitialFlags;
  return true;
}

bool PopSignalFrame(TrapFrame* frame) {
  // The handler's return popped the return address.
  SignalFrame in;
  if (!CopyFromUser(&in, reinterpret_cast<void*>(frame->rsp - 8), sizeof in)) return false;
  const SignalContext& c = in.user.context;
  if (c.vector_state != 0) {
    constexpr uint64_t kHeader = 512;  // XSTATE_BV, XCOMP_BV, reserved: SDM volume 1, 13.4.2
    if (!CopyFromUser(g_vectors, reinterpret_cast<void*>(c.vector_state), kVectorBytes)) {
      return false;
    }
    uint64_t header[8] = {};
    memcpy(header, g_vectors + kHeader, sizeof(uint64_t));
    header[0] &= kVectorMask;  // anything else faults in XRSTOR
    memcpy(g_vectors + kHeader, header, sizeof header);
    constexpr uint32_t kMxcsrMask = 0xffff;
    uint32_t mxcsr;
    memcpy(&mxcsr, g_vectors + 24, sizeof mxcsr);
    mxcsr &= kMxcsrMask;
    memcpy(g_vectors + 24, &mxcsr, sizeof mxcsr);
    asm volatile("xrstor64 (%0)" : : "r"(g_vectors), "a"(kVectorMask), "d"(0) : "memory");
  }
  frame->r8 = c.r8, frame->r9 = c.r9, frame->r10 = c.r10, frame->r11 = c.r11;
  frame->r12 = c.r12, frame->r13 = c.r13, frame->r14 = c.r14, frame->r15 = c.r15;
  frame->rdi = c.rdi, frame->rsi = c.rsi, frame->rbp = c.rbp, frame->rbx = c.rbx;
  frame->rdx = c.rdx, frame->rax = c.rax, frame->rcx = c.rcx;
  frame->rsp = c.rsp, frame->rip = c.rip;
  constexpr uint64_t kApplicationFlags = 0x40dd5;  // arithmetic flags, TF, DF, AC
  frame->rflags = (c.rflags & kApplicationFlags) | kInitialFlags;
  frame->cs = kUserCodeSelector, frame->ss = kUserDataSelector;
  g_current->signal_mask = in.user.mask & ~(SignalBit(kSigKill) | SignalBit(kSigStop));
  UpdateExitWork();
  return true;
}

void RewindSyscall(TrapFrame* frame) {
  frame->rax = frame->vector;  // the number, for a `syscall` instruction
  uint8_t site[7] = {};
  const bool read = CopyFromUser(site, reinterpret_cast<void*>(frame->rip - 7), sizeof site);
  const bool rewritten = read && site[0] == 0xff && site[1] == 0x14 && site[2] == 0x25;
  frame->rip -= rewritten ? 7 : 2;
}

}  // namespace usetl::kernel
