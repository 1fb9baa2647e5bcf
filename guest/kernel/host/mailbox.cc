#include "guest/kernel/host/mailbox.h"

#include <asm/errno.h>

#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"
#include "guest/kernel/signal/signal.h"

namespace usetl::kernel {
namespace {

abi::RingConsumer g_from_host;
abi::RingProducer g_to_host;
abi::RingProducer g_output;
RecordQueue g_agent_records;
WaitQueue g_agent_waiters;
bool g_agent_reads = false;
WaitQueue g_room_waiters;  // for room in either ring towards the host
HttpSink g_http_sink = nullptr;
InputSink g_input_sink = nullptr;
uint32_t g_input_taken = 0;  // and not said yet
uint64_t g_change = 0;       // the id of the last kMountChange
bool g_change_done = true;
HostAnswer g_answer;
// What MountDone announces; its parts are as they lie in the record.
alignas(16) uint8_t g_answer_bytes[abi::kMaxMountDone];
// Given back and not said yet.
uint64_t g_released[(abi::kHostEntries + 63) / 64], g_closed[(abi::kMaxMountHandles + 63) / 64];
bool g_unsaid = false;
alignas(16) uint8_t g_payload[abi::kMaxRecord];

uint8_t* ControlAt(uint64_t offset) {
  return reinterpret_cast<uint8_t*>(abi::kControl.base + offset);
}

bool IsHttp(uint16_t type) {
  return type >= static_cast<uint16_t>(abi::RecordType::kHttpHead) &&
         type <= static_cast<uint16_t>(abi::RecordType::kHttpDone);
}

bool IsInput(uint16_t type) {
  return type == static_cast<uint16_t>(abi::RecordType::kInput) ||
         type == static_cast<uint16_t>(abi::RecordType::kResize);
}

void TakeMountDone(const abi::RecordHeader& header, uint32_t size) {
  abi::MountDone& done = g_answer.done;
  if (header.id != g_change || size < sizeof done || size > sizeof g_answer_bytes) {
    Panic("the host answered what nobody asked");
  }
  memcpy(&done, g_payload, sizeof done);
  const uint64_t files = uint64_t{done.files} * sizeof(abi::MountedFile);
  if (files + done.text_size != size - sizeof done) Panic("the host's answer has the wrong size");
  memcpy(g_answer_bytes, g_payload + sizeof done, size - sizeof done);
  g_answer.files = reinterpret_cast<const abi::MountedFile*>(g_answer_bytes);
  g_answer.text = reinterpret_cast<const char*>(g_answer_bytes + files);
  g_change_done = true;
}

template <typename T>
bool Say(abi::RecordType type, const T& record) {
  return g_to_host.Put(static_cast<uint16_t>(type), 0, &record, sizeof record, nullptr, 0);
}

// Says for each bit that is set what `record` makes of its number, as far as there is room.
template <typename Record>
bool SayAll(abi::RecordType type, uint64_t* bits, uint32_t words) {
  for (uint32_t i = 0; i < words; ++i) {
    while (bits[i] != 0) {
      const auto number = i * 64 + static_cast<uint32_t>(__builtin_ctzll(bits[i]));
      if (!Say(type, Record{number, 0})) return false;
      bits[i] &= bits[i] - 1;
    }
  }
  return true;
}

void SayReleased() {
  constexpr uint32_t kReleased = sizeof g_released / 8, kClosed = sizeof g_closed / 8;
  const bool all = SayAll<abi::HostRegionEntry>(abi::RecordType::kRelease, g_released, kReleased) &&
                   SayAll<abi::MountClose>(abi::RecordType::kMountClose, g_closed, kClosed);
  g_unsaid = !all;
}

// Announces that a producer waits for room, or that it no longer does.
void SetRoomWanted(bool wanted) {
  const uint32_t value = wanted ? 1 : 0;
  __atomic_store_n(&guest_page().to_host.waiting, value, __ATOMIC_RELAXED);
  __atomic_store_n(&guest_page().output.waiting, value, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void WaitForRoom() {
  Waiter waiter(g_current);
  g_room_waiters.Add(&waiter);
  SetRoomWanted(true);
  // The worker may have made room just before it could see the flag: look again soon.
  constexpr uint64_t kRecheckNs = 5'000'000;
  Sleep(After(Monotonic(), kRecheckNs), /*interruptible=*/false);
}

}  // namespace

RecordQueue::~RecordQueue() {
  while (Record* record = Pop()) Free(record);
}

void RecordQueue::Push(Record* record) {
  record->next = nullptr;
  (tail_ != nullptr ? tail_->next : head_) = record;
  tail_ = record;
}

Record* RecordQueue::Pop() {
  Record* record = head_;
  if (record == nullptr) return nullptr;
  head_ = record->next;
  if (head_ == nullptr) tail_ = nullptr;
  return record;
}

RecordQueue& agent_records() { return g_agent_records; }
WaitQueue& agent_waiters() { return g_agent_waiters; }
void SetAgentReads(bool reads) { g_agent_reads = reads; }

void TakeStopBehind() {
  Record* next = g_agent_records.first();
  if (next == nullptr || next->header.type != static_cast<uint16_t>(abi::RecordType::kStop)) return;
  Free(g_agent_records.Pop());
  SendSignal(nullptr, {kSigTerm, 0, 0, 0});
}

void InitMailbox(HttpSink http_sink) {
  g_http_sink = http_sink;
  ResetMailbox();
}

void SetInputSink(InputSink sink) { g_input_sink = sink; }

void AcknowledgeInput(uint32_t bytes) {
  g_input_taken += bytes;
  const abi::InputTaken taken{g_input_taken, 0};
  constexpr auto kType = static_cast<uint16_t>(abi::RecordType::kInputTaken);
  if (g_input_taken == 0 || !g_to_host.Put(kType, 0, &taken, sizeof taken, nullptr, 0)) return;
  g_input_taken = 0;
  if (g_to_host.BellDue()) KickWorker();
}

void ResetMailbox() {
  auto& host = const_cast<abi::HostPage&>(host_page());
  abi::GuestPage& guest = guest_page();
  g_from_host = abi::RingConsumer(&guest.to_guest, &host.to_guest, ControlAt(abi::kToGuestOffset),
                                  abi::kToGuestSize);
  g_to_host = abi::RingProducer(&guest.to_host, &host.to_host, ControlAt(abi::kToHostOffset),
                                abi::kToHostSize);
  g_output = abi::RingProducer(&guest.output, &host.output, ControlAt(abi::kOutputOffset),
                               abi::kOutputSize);
}

void ForgetMail() {
  g_agent_waiters.Forget();
  g_room_waiters.Forget();
  g_agent_records = RecordQueue();
  g_agent_reads = false;
  memset(g_released, 0, sizeof g_released);
  memset(g_closed, 0, sizeof g_closed);
  g_unsaid = false;
  ResetMailbox();
}

void PollMailbox() {
  abi::RecordHeader header;
  while (!g_from_host.Empty()) {
    const abi::RingRead read = g_from_host.Take(&header, g_payload);
    if (read == abi::RingRead::kBroken) Panic("the ring from the host is broken");
    if (read == abi::RingRead::kEmpty) break;
    const uint32_t size = header.size - sizeof header;
    if (header.type == static_cast<uint16_t>(abi::RecordType::kMountDone)) {
      TakeMountDone(header, size);
      continue;
    }
    auto* record = static_cast<Record*>(Allocate(sizeof(Record) + size));
    if (record == nullptr) OutOfMemory("a message of the host");
    record->header = header;
    memcpy(record->payload, g_payload, size);
    if (header.type == static_cast<uint16_t>(abi::RecordType::kStop) && !g_agent_reads) {
      // The function runs: it is told as any process is.
      Free(record);
      SendSignal(nullptr, {kSigTerm, 0, 0, 0});
    } else if (g_input_sink != nullptr && IsInput(header.type)) {
      g_input_sink(record);
    } else if (IsHttp(header.type)) {
      g_http_sink(record);
    } else {
      g_agent_records.Push(record);
      g_agent_waiters.Wake();
    }
  }
  if (g_input_taken != 0) AcknowledgeInput(0);
  if (g_unsaid) SayReleased();
  if (!g_room_waiters.empty()) g_room_waiters.Wake();
}

int64_t PostRecord(abi::RecordType type, uint64_t id, const void* head, uint32_t head_size,
                   const void* body, uint32_t body_size) {
  while (!g_to_host.Put(static_cast<uint16_t>(type), id, head, head_size, body, body_size)) {
    if (g_to_host.BellDue()) KickWorker();
    WaitForRoom();
  }
  if (g_to_host.BellDue()) KickWorker();
  return 0;
}

int64_t AskHost(const abi::MountChange& change, const void* body, uint32_t body_size) {
  constexpr uint64_t kRecheckNs = 5'000'000;
  constexpr auto kType = static_cast<uint16_t>(abi::RecordType::kMountChange);
  g_change_done = false;
  ++g_change;
  if (g_unsaid) SayReleased();
  while (!g_to_host.Put(kType, g_change, &change, sizeof change, body, body_size)) {
    if (g_to_host.BellDue()) KickWorker();
    SetRoomWanted(true);
    Idle(After(Monotonic(), kRecheckNs));
    PollMailbox();
  }
  if (g_to_host.BellDue()) KickWorker();
  for (;;) {
    PollMailbox();
    if (g_change_done) return -int64_t{g_answer.done.error};
    Idle(kNever);
  }
}

const HostAnswer& LastAnswer() { return g_answer; }

void ReleaseEntry(uint32_t entry) {
  g_released[entry / 64] |= 1ull << (entry % 64);
  SayReleased();  // nobody needs the room before the worker looks at the ring anyway
}

void CloseMounted(uint32_t handle) {
  g_closed[handle / 64] |= 1ull << (handle % 64);
  SayReleased();
  if (g_to_host.BellDue()) KickWorker();  // a file that was removed takes room until then
}

int64_t WriteOutput(int stream, const void* user, uint64_t size) {
  const auto* from = static_cast<const uint8_t*>(user);
  constexpr uint64_t kMaxFrame = 16 << 10;
  static uint8_t frame_bytes[sizeof(abi::OutputFrame) + kMaxFrame];
  uint64_t done = 0;
  while (done < size) {
    const uint64_t chunk = size - done < kMaxFrame ? size - done : kMaxFrame;
    while (g_output.Free() < sizeof(abi::OutputFrame) + chunk) {
      if (g_output.BellDue()) KickWorker();
      WaitForRoom();
    }
    // Nothing sleeps from here on: the static buffer is this thread's alone.
    const abi::OutputFrame frame{static_cast<uint16_t>(stream), static_cast<uint16_t>(chunk)};
    memcpy(frame_bytes, &frame, sizeof frame);
    if (!CopyFromUser(frame_bytes + sizeof frame, from + done, chunk)) {
      return done != 0 ? static_cast<int64_t>(done) : -EFAULT;
    }
    g_output.PutBytes(frame_bytes, sizeof frame + chunk);
    done += chunk;
  }
  if (g_output.BellDue()) KickWorker();
  return static_cast<int64_t>(done);
}

void TryOutput(int stream, const char* bytes, uint64_t size) {
  const abi::OutputFrame frame{static_cast<uint16_t>(stream), static_cast<uint16_t>(size)};
  if (g_output.Free() < sizeof frame + size) return;
  g_output.PutBytes(&frame, sizeof frame);
  g_output.PutBytes(bytes, static_cast<uint32_t>(size));
  if (g_output.BellDue()) KickWorker();
}

void Idle(uint64_t deadline) {
  if (!g_from_host.PrepareWait()) return;
  // A caller may answer at once: a short poll saves an exit and a wake-up. Where answers take
  // longer it takes time from whoever is to give them.
  static bool answered_soon = true;
  constexpr uint64_t kSoon = 2;  // times the poll
  const uint64_t spin = host_page().spin_ns, begin = Monotonic();
  if (answered_soon && spin != 0) {
    g_from_host.EndWait();
    const uint64_t until = After(begin, spin);
    while (Monotonic() < until) {
      for (int i = 0; i < 32; ++i) {
        if (!g_from_host.Empty()) return;
        asm volatile("pause");
      }
    }
    if (!g_from_host.PrepareWait()) return;
  }
  guest_page().call.deadline = deadline;
  CallHost(abi::CallOp::kIdle);
  g_from_host.EndWait();
  answered_soon = Monotonic() < After(begin, kSoon * spin);
}

}  // namespace usetl::kernel
