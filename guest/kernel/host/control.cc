#include "guest/kernel/host/control.h"

#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

void WritePort(uint16_t port) { asm volatile("outb %%al, %%dx" : : "a"(0), "d"(port) : "memory"); }

}  // namespace

int32_t CallHost(abi::CallOp op) {
  guest_page().call.op = op;
  WritePort(abi::kCallPort);
  return guest_page().call.result;
}

void KickWorker() { WritePort(abi::kKickPort); }

void RangeBatch::Add(abi::RangeOp op, uint64_t va, uint64_t length, uint32_t protection,
                     uint64_t gpa) {
  if (error_ != 0) return;
  if (count_ == abi::kMaxRanges) Finish();
  guest_page().call.ranges[count_++] = {op, protection, va, length, gpa};
}

int32_t RangeBatch::Finish() {
  if (count_ != 0 && error_ == 0) {
    guest_page().call.count = count_;
    error_ = CallHost(abi::CallOp::kMap);
  }
  count_ = 0;
  return error_;
}

uint32_t FormatV(char* buffer, uint32_t size, const char* format, __builtin_va_list arguments) {
  uint32_t length = 0;
  const auto put = [&](char c) {
    if (length + 1 < size) buffer[length++] = c;
  };
  for (; *format != 0; ++format) {
    if (*format != '%') {
      put(*format);
      continue;
    }
    ++format;
    if (*format == 's') {
      const char* text = __builtin_va_arg(arguments, const char*);
      while (*text != 0) put(*text++);
    } else if (*format == 'd' || *format == 'u' || *format == 'x') {
      uint64_t value = __builtin_va_arg(arguments, uint64_t);
      if (*format == 'd' && static_cast<int64_t>(value) < 0) {
        put('-');
        value = -value;
      }
      const uint64_t base = *format == 'x' ? 16 : 10;
      char digits[24];
      int n = 0;
      do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
      } while (value != 0);
      while (n > 0) put(digits[--n]);
    } else {
      put(*format);
    }
  }
  if (size != 0) buffer[length] = 0;
  return length;
}

uint32_t Format(char* buffer, uint32_t size, const char* format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  const uint32_t length = FormatV(buffer, size, format, arguments);
  __builtin_va_end(arguments);
  return length;
}

void Log(const char* format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  abi::GuestPage& page = guest_page();
  page.call.count =
      FormatV(reinterpret_cast<char*>(page.report), abi::kReportSize, format, arguments);
  __builtin_va_end(arguments);
  CallHost(abi::CallOp::kLog);
}

void Panic(const char* format, ...) {
  char text[512];
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  FormatV(text, sizeof text, format, arguments);
  __builtin_va_end(arguments);
  constexpr int kAborted = 6;  // killed by SIGABRT
  ExitVm(kAborted, text);
}

void OutOfMemory(const char* what) {
  char text[256];
  Format(text, sizeof text, "out of memory: %s does not fit the function's limit of %u MB", what,
         (host_page().ram_limit - abi::kHeapBase) >> 20);
  ExitVm(abi::kOutOfMemoryStatus, text);
}

void ExitVm(int status, const char* report) {
  abi::GuestPage& page = guest_page();
  uint32_t length = 0;
  while (report != nullptr && report[length] != 0 && length < abi::kReportSize) {
    page.report[length] = static_cast<uint8_t>(report[length]);
    ++length;
  }
  page.call.count = length;
  page.call.status = status;
  for (;;) CallHost(abi::CallOp::kExit);
}

}  // namespace usetl::kernel
