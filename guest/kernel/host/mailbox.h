// mailbox.h: the two record rings of the control window, and idling.
#ifndef USETL_GUEST_KERNEL_HOST_MAILBOX_H_
#define USETL_GUEST_KERNEL_HOST_MAILBOX_H_

#include <cstdint>

#include "guest/kernel/host/control.h"
#include "guest/kernel/thread/thread.h"
#include "vmm/abi/mail.h"

namespace usetl::kernel {

// A record taken off the ring; freed with Free().
struct Record {
  Record* next;
  abi::RecordHeader header;
  uint8_t payload[];
};

// First in, first out.
class RecordQueue {
 public:
  ~RecordQueue();
  void Push(Record* record);
  Record* Pop();  // null when empty; the caller frees
  Record* first() const { return head_; }
  bool empty() const { return head_ == nullptr; }

 private:
  Record* head_ = nullptr;
  Record* tail_ = nullptr;
};

// Who takes records of HTTP transactions; everything else goes to the mailbox file.
using HttpSink = void (*)(Record* record);
void InitMailbox(HttpSink http_sink);

// Who takes what is typed or piped into a clone's program.
using InputSink = void (*)(Record* record);
void SetInputSink(InputSink sink);
// Says that so many bytes of input were taken, when there is room to say it; else later.
void AcknowledgeInput(uint32_t bytes);

// Forgets what the rings hold: after a restore both sides start over.
void ResetMailbox();
// Of another process: who waited, and what for.
void ForgetMail();

// Takes what has arrived off the ring, wakes who waits for it.
void PollMailbox();

// Records for the agent (all but HTTP ones), and who waits for them.
RecordQueue& agent_records();
WaitQueue& agent_waiters();
// Whether somebody is about to take the next record: it gets kStop then, as the others.
void SetAgentReads(bool reads);
// A stop that came behind the record that the agent has just taken: the function runs from here
// on, and is told as any process is.
void TakeStopBehind();

// Posts a record, sleeping while the ring is full. 0 or -EINTR.
int64_t PostRecord(abi::RecordType type, uint64_t id, const void* head, uint32_t head_size,
                   const void* body = nullptr, uint32_t body_size = 0);

// Asks something of a mount and waits for what the host says. Other threads do not run meanwhile:
// to them, the change and what the caller does beside it are one. 0 or -errno.
int64_t AskHost(const abi::MountChange& change, const void* body, uint32_t body_size);
// What it said, until the next AskHost().
struct HostAnswer {
  abi::MountDone done;
  const abi::MountedFile* files;
  const char* text;
};
const HostAnswer& LastAnswer();

// Gives back an entry of the host region, a file of a mount. Without sleeping: when the ring is
// full it is said later.
void ReleaseEntry(uint32_t entry);
void CloseMounted(uint32_t handle);

// Bytes of stdout (1) or stderr (2) from application memory; sleeps while the ring is full. Bytes
// written, or -EFAULT.
int64_t WriteOutput(int stream, const void* user, uint64_t size);

// The same for the kernel's own bytes, without sleeping: they are dropped when there is no room.
void TryOutput(int stream, const char* bytes, uint64_t size);

// Sleeps in the host until a record or room arrives or `deadline` passes.
void Idle(uint64_t deadline);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_HOST_MAILBOX_H_
