// identity.h: the numbers by which the process and its threads know themselves.
//
// The process id changes with every restore. User-space random generators (OpenSSL's, also the
// copies inside wheels; SQLite's) look at getpid() to notice a fork and draw a new seed: a restored
// USF is just that, a copy that must not repeat what its siblings draw.
#ifndef USETL_GUEST_KERNEL_THREAD_IDENTITY_H_
#define USETL_GUEST_KERNEL_THREAD_IDENTITY_H_

namespace usetl::kernel {

struct Thread;

// Of the first thread of a program, as the scheduler knows it.
inline constexpr int kFirstThread = 1;

// Once, at boot.
void InitIdentity();

// 1 until the snapshot is taken, above every thread id afterwards.
int ProcessId();
// The id that a thread is told and may be named by: that of the first thread is the process id.
int ThreadId(const Thread& thread);
// Null: no such thread. The first thread also answers to 1, which glibc keeps from before the
// snapshot.
Thread* ThreadByAnyId(int tid);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_THREAD_IDENTITY_H_
