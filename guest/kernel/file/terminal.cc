#include "guest/kernel/file/terminal.h"

#include "guest/kernel/host/mailbox.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/stat.h"
#include "guest/kernel/linux/termios.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {
namespace {

constexpr int kOutputStream = 1;
constexpr int kSigInt = 2, kSigQuit = 3, kSigHup = 1;
constexpr uint32_t kBufferSize = 8192;  // as much as Linux keeps of a line, twice

class Terminal final : public File {
 public:
  Terminal(uint16_t columns, uint16_t rows) : size_{rows, columns, 0, 0} {
    status_flags = kReadWriteMode;
  }
  int64_t Read(void* user, uint64_t size) override;
  int64_t Write(const void* user, uint64_t size) override;
  int64_t Ioctl(uint64_t request, uint64_t argument) override;
  int64_t Seek(int64_t, int) override { return -ESPIPE; }
  int64_t GetStat(Stat* stat) override {
    *stat = {};
    stat->mode = kStatModeCharacter | 0620;
    stat->block_size = 1024;
    stat->links = 1;
    return 0;
  }
  uint32_t Poll() override {
    return kPollOut | (Readable() || hung_up_ ? kPollIn : 0) | (hung_up_ ? kPollHup : 0);
  }
  WaitQueue* wait_queue() override { return &readers_; }
  int64_t Name(char* buffer, uint64_t size) override {
    constexpr char kName[] = "/dev/tty";
    const uint64_t length = sizeof kName - 1 < size ? sizeof kName - 1 : size;
    memcpy(buffer, kName, length);
    return static_cast<int64_t>(length);
  }

  void OnKey(uint8_t key);
  void HangUp();
  void Resize(uint16_t columns, uint16_t rows);

 private:
  bool Has(uint32_t local_mode) const { return (modes_.local & local_mode) != 0; }
  bool Canonical() const { return Has(termios::kCanonical); }
  bool Readable() const { return Canonical() ? complete_ > 0 : used_ > 0; }
  // Bytes [0, complete_) of the buffer are whole lines; what follows may still be erased. An end of
  // input that was typed is kept as one of the ends.
  bool SignalKey(uint8_t key);
  bool EditKey(uint8_t key);
  void Append(uint8_t key);
  void EraseOne();
  void Echo(uint8_t key);
  void EchoText(const char* text) { TryOutput(kOutputStream, text, strlen(text)); }
  void Flush() { used_ = complete_ = ends_ = 0; }
  int64_t SetModes(uint64_t argument, bool flush);

  termios::Modes modes_ = termios::kInitial;
  termios::WindowSize size_;
  WaitQueue readers_;
  bool hung_up_ = false;
  uint32_t used_ = 0, complete_ = 0;
  uint32_t ends_ = 0;         // of `end_at_`
  uint32_t end_at_[32] = {};  // where an end of input was typed: offsets into the buffer
  uint8_t buffer_[kBufferSize];
};

Terminal* g_terminal = nullptr;

void Terminal::Echo(uint8_t key) {
  if (!Has(termios::kEcho) && !(key == '\n' && Canonical() && Has(termios::kEchoNewline))) return;
  char text[4] = {static_cast<char>(key), 0};
  if (key == '\n') {
    text[0] = '\r', text[1] = '\n';
  } else if (key < 0x20 && key != '\t' && Has(termios::kEchoControl)) {
    text[0] = '^', text[1] = static_cast<char>(key + '@');
  }
  EchoText(text);
}

bool Terminal::SignalKey(uint8_t key) {
  if (!Has(termios::kSignals) || key == 0) return false;
  int signal = 0;
  if (key == modes_.keys[termios::kInterruptKey]) signal = kSigInt;
  if (key == modes_.keys[termios::kQuitKey]) signal = kSigQuit;
  if (key == modes_.keys[termios::kSuspendKey]) signal = kSigTstp;
  if (signal == 0) return false;
  Echo(key);
  if (!Has(termios::kNoFlush)) Flush();
  SendSignal(nullptr, {signal, 0, 0x80, 0});
  return true;
}

void Terminal::EraseOne() {
  if (used_ == complete_) return;
  uint8_t last = buffer_[--used_];
  // The bytes that follow the first of a UTF-8 character.
  while ((last & 0xc0) == 0x80 && used_ > complete_) last = buffer_[--used_];
  if (!Has(termios::kEcho)) return;
  const bool two_wide = last < 0x20 && last != '\t' && Has(termios::kEchoControl);
  EchoText(two_wide ? "\b \b\b \b" : "\b \b");
}

bool Terminal::EditKey(uint8_t key) {
  if (key == 0) return false;
  if (key == modes_.keys[termios::kEraseKey] || key == '\b') {
    EraseOne();
  } else if (key == modes_.keys[termios::kKillKey]) {
    while (used_ > complete_) EraseOne();
  } else if (key == modes_.keys[termios::kWordEraseKey]) {
    while (used_ > complete_ && buffer_[used_ - 1] == ' ') EraseOne();
    while (used_ > complete_ && buffer_[used_ - 1] != ' ') EraseOne();
  } else if (key == modes_.keys[termios::kEndKey]) {
    if (ends_ == sizeof end_at_ / sizeof end_at_[0] || used_ == kBufferSize) return true;
    // One place in the buffer stands for the end itself, and is never handed out.
    end_at_[ends_++] = used_;
    buffer_[used_++] = 0;
    complete_ = used_;
  } else {
    return false;
  }
  return true;
}

void Terminal::Append(uint8_t key) {
  // One place stays for the end of the line.
  if (used_ >= kBufferSize - 1 && !(key == '\n' && used_ == kBufferSize - 1)) return EchoText("\a");
  buffer_[used_++] = key;
  Echo(key);
  if (!Canonical() || key == '\n') complete_ = used_;
}

void Terminal::OnKey(uint8_t key) {
  if (key == '\r') {
    if (modes_.input & termios::kIgnoreReturn) return;
    if (modes_.input & termios::kReturnToNewline) key = '\n';
  } else if (key == '\n' && (modes_.input & termios::kNewlineToReturn)) {
    key = '\r';
  }
  if (!SignalKey(key) && !(Canonical() && EditKey(key))) Append(key);
  if (Readable()) readers_.Wake();
}

void Terminal::HangUp() {
  hung_up_ = true;
  SendSignal(nullptr, {kSigHup, 0, 0x80, 0});
  readers_.Wake();
}

void Terminal::Resize(uint16_t columns, uint16_t rows) {
  if (columns == size_.columns && rows == size_.rows) return;
  size_ = {rows, columns, 0, 0};
  SendSignal(nullptr, {kSigWinch, 0, 0x80, 0});
}

int64_t Terminal::Read(void* user, uint64_t size) {
  while (!Readable()) {
    if (hung_up_) return 0;
    // VMIN of 0: what is there, which is nothing. VTIME is not timed.
    if (!Canonical() && modes_.keys[termios::kMinimumKey] == 0) return 0;
    if (status_flags & kNonBlock) return -EAGAIN;
    Waiter waiter(g_current);
    readers_.Add(&waiter);
    if (Sleep(kNever, /*interruptible=*/true) == WakeReason::kSignal && !Readable()) {
      return kRestart;
    }
  }
  uint32_t most = Canonical() ? complete_ : used_;
  uint32_t end = most;  // of what is taken off the buffer
  if (Canonical()) {
    for (uint32_t i = 0; i < most; ++i) {
      if (ends_ > 0 && end_at_[0] == i) {
        most = i;
        end = i + 1;
        break;
      }
      if (buffer_[i] == '\n') {
        most = end = i + 1;
        break;
      }
    }
  }
  if (size < most) most = end = static_cast<uint32_t>(size);
  if (!CopyToUser(user, buffer_, most)) return -EFAULT;
  memmove(buffer_, buffer_ + end, used_ - end);
  used_ -= end;
  complete_ = complete_ > end ? complete_ - end : 0;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < ends_; ++i) {
    if (end_at_[i] >= end) end_at_[kept++] = end_at_[i] - end;
  }
  ends_ = kept;
  return most;
}

int64_t Terminal::Write(const void* user, uint64_t size) {
  constexpr uint32_t kProcess = termios::kProcessOutput | termios::kNewlineToReturnNewline;
  if ((modes_.output & kProcess) != kProcess) return WriteOutput(kOutputStream, user, size);
  const auto* from = static_cast<const uint8_t*>(user);
  uint8_t in[256], out[2 * sizeof in];
  uint64_t done = 0;
  while (done < size) {
    const uint64_t count = size - done < sizeof in ? size - done : sizeof in;
    if (!CopyFromUser(in, from + done, count)) {
      return done != 0 ? static_cast<int64_t>(done) : -EFAULT;
    }
    uint64_t length = 0;
    for (uint64_t i = 0; i < count; ++i) {
      if (in[i] == '\n') out[length++] = '\r';
      out[length++] = in[i];
    }
    if (const int64_t written = WriteOutput(kOutputStream, out, length); written < 0) {
      return done != 0 ? static_cast<int64_t>(done) : written;
    }
    done += count;
  }
  return static_cast<int64_t>(done);
}

int64_t Terminal::SetModes(uint64_t argument, bool flush) {
  termios::Modes modes;
  if (!GetUser(&modes, reinterpret_cast<const termios::Modes*>(argument))) return -EFAULT;
  if (flush) Flush();
  modes_ = modes;
  // What was typed before is there for whoever reads keys.
  if (!Canonical()) complete_ = used_;
  if (Readable()) readers_.Wake();
  return 0;
}

int64_t Terminal::Ioctl(uint64_t request, uint64_t argument) {
  constexpr int32_t kGroup = 1;  // of getpgrp(2) and getsid(2)
  switch (request) {
    case termios::kGetModes:
      return PutUser(reinterpret_cast<termios::Modes*>(argument), modes_) ? 0 : -EFAULT;
    case termios::kSetModes:
    case termios::kSetModesDrain:
      return SetModes(argument, /*flush=*/false);
    case termios::kSetModesFlush:
      return SetModes(argument, /*flush=*/true);
    case termios::kGetWindowSize:
      return PutUser(reinterpret_cast<termios::WindowSize*>(argument), size_) ? 0 : -EFAULT;
    case termios::kSetWindowSize: {
      termios::WindowSize size;
      if (!GetUser(&size, reinterpret_cast<const termios::WindowSize*>(argument))) return -EFAULT;
      Resize(size.columns, size.rows);
      return 0;
    }
    case termios::kGetGroup:
    case termios::kGetSession:
      return PutUser(reinterpret_cast<int32_t*>(argument), kGroup) ? 0 : -EFAULT;
    case termios::kSetGroup:
    case termios::kSetControlling:
      return 0;
    case termios::kFlush:
      Flush();
      return 0;
    case termios::kReadableBytes: {
      const auto count = static_cast<int32_t>(Canonical() ? complete_ : used_);
      return PutUser(reinterpret_cast<int32_t*>(argument), count) ? 0 : -EFAULT;
    }
    default:
      return -ENOTTY;
  }
}

}  // namespace

File* CreateTerminal(uint16_t columns, uint16_t rows) {
  g_terminal = New<Terminal>(columns, rows);
  return g_terminal;
}

File* ControllingTerminal() {
  if (g_terminal != nullptr) g_terminal->Ref();
  return g_terminal;
}

void DeliverTerminalInput(Record* record) {
  const auto type = static_cast<abi::RecordType>(record->header.type);
  const uint32_t size = record->header.size - static_cast<uint32_t>(sizeof record->header);
  if (type == abi::RecordType::kResize && size == sizeof(abi::WindowSize)) {
    abi::WindowSize window;
    memcpy(&window, record->payload, sizeof window);
    g_terminal->Resize(window.columns, window.rows);
  } else if (type == abi::RecordType::kInput && size == 0) {
    g_terminal->HangUp();
  } else if (type == abi::RecordType::kInput) {
    for (uint32_t i = 0; i < size; ++i) g_terminal->OnKey(record->payload[i]);
    AcknowledgeInput(size);
  }
  Free(record);
}

}  // namespace usetl::kernel
