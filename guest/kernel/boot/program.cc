#include "guest/kernel/boot/program.h"

#include <asm/errno.h>

#include "guest/kernel/boot/elf_loader.h"
#include "guest/kernel/fs/root.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/thread/identity.h"
#include "guest/kernel/thread/thread.h"

namespace usetl::kernel {
namespace {

Arguments g_arguments;

// As Linux: what stands behind "#!" in the first line, an interpreter and at most one argument.
constexpr uint64_t kScriptHead = 256;

bool Blank(char c) { return c == ' ' || c == '\t'; }

struct ScriptHead {
  char text[kScriptHead + 1];
  const char* interpreter = nullptr;
  const char* argument = nullptr;  // may be null
};

// False: not the head of a script.
bool ParseHead(ScriptHead* head, int64_t size) {
  if (size < 3 || head->text[0] != '#' || head->text[1] != '!') return false;
  head->text[size] = 0;
  char* at = head->text + 2;
  for (char* c = at; *c != 0; ++c) {
    if (*c == '\n') *c = 0;
  }
  char* end = at + strlen(at);
  while (end > at && Blank(end[-1])) *--end = 0;
  while (Blank(*at)) ++at;
  if (*at == 0) return false;
  head->interpreter = at;
  while (*at != 0 && !Blank(*at)) ++at;
  if (*at == 0) return true;
  *at++ = 0;
  while (Blank(*at)) ++at;
  head->argument = at;
  return true;
}

void Append(char* to, uint32_t* size, const char* text) {
  const uint64_t length = strlen(text) + 1;
  memcpy(to + *size, text, length);
  *size += static_cast<uint32_t>(length);
}

// The interpreter, its argument and the script in the place of argv[0].
int64_t PutInterpreter(const ScriptHead& head, Arguments* arguments) {
  const uint64_t room = arguments->size + kScriptHead + strlen(arguments->path) + 4;
  auto* strings = static_cast<char*>(Allocate(room));
  if (strings == nullptr) return -ENOMEM;
  Arguments made;
  made.envc = arguments->envc;
  Append(strings, &made.size, head.interpreter);
  if (head.argument != nullptr) Append(strings, &made.size, head.argument);
  Append(strings, &made.size, arguments->path);
  made.argc = head.argument != nullptr ? 3 : 2;
  uint32_t rest = 0;
  if (arguments->argc > 0) {
    rest = static_cast<uint32_t>(strlen(arguments->strings)) + 1;
    made.argc += arguments->argc - 1;
  }
  memcpy(strings + made.size, arguments->strings + rest, arguments->size - rest);
  made.size += arguments->size - rest;
  made.strings = made.path = strings;
  *arguments = made;
  return made.argc + made.envc > kMaxArguments ? -E2BIG : 0;
}

}  // namespace

const Arguments& CurrentArguments() { return g_arguments; }

const char* FindVariable(const Arguments& arguments, const char* name) {
  const uint64_t length = strlen(name);
  uint64_t at = 0;
  for (uint32_t i = 0; i < arguments.argc + arguments.envc; ++i) {
    const char* text = arguments.strings + at;
    const uint64_t size = strlen(text);
    if (i >= arguments.argc && size > length && memcmp(text, name, length) == 0 &&
        text[length] == '=') {
      return text + length + 1;
    }
    at += size + 1;
  }
  return nullptr;
}

int64_t ResolveProgram(Arguments* arguments) {
  constexpr int kNestedScripts = 4;  // as Linux
  for (int i = 0; i <= kNestedScripts; ++i) {
    File* file = nullptr;
    if (const int64_t error = OpenForExec(arguments->path, &file); error != 0) return error;
    ScriptHead head;
    const int64_t size = file->ReadAt(head.text, kScriptHead, 0);
    file->Unref();
    if (size < 0) return size;
    if (!ParseHead(&head, size)) return CheckProgram(arguments->path);
    if (const int64_t error = PutInterpreter(head, arguments); error != 0) return error;
  }
  return -ELOOP;
}

int64_t StartProgram(const Arguments& arguments) {
  Program program;
  if (const int64_t error = LoadProgram(arguments.path, &program); error != 0) return error;
  const int64_t stack = BuildStack(program, arguments);
  if (stack < 0) return stack;
  TrapFrame frame{};
  frame.rip = program.entry;
  frame.rsp = static_cast<uint64_t>(stack);
  frame.cs = kUserCodeSelector;
  frame.ss = kUserDataSelector;
  frame.rflags = kInitialFlags;
  // A new thread inherits its creator's vector registers: these are what a program starts with.
  constexpr uint32_t kInitialMxcsr = 0x1f80;
  asm volatile("fninit; ldmxcsr %0" : : "m"(kInitialMxcsr));
  Thread* thread = CreateThread(frame, 0);
  if (thread == nullptr) return -ENOMEM;
  thread->tid = kFirstThread;
  const char* name = arguments.path;
  for (const char* c = name; *c != 0; ++c) {
    if (*c == '/') name = c + 1;
  }
  for (uint64_t i = 0; i + 1 < sizeof thread->name && name[i] != 0; ++i) thread->name[i] = name[i];
  g_arguments = arguments;
  return 0;
}

}  // namespace usetl::kernel
