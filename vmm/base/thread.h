// thread.h: threads whose start may fail.
#ifndef USETL_VMM_BASE_THREAD_H_
#define USETL_VMM_BASE_THREAD_H_

#include <functional>
#include <thread>

#include "vmm/base/status.h"

namespace usetl {

// EAGAIN at a limit of threads, where std::thread throws.
Result<std::thread> StartThread(std::function<void()> body);

}  // namespace usetl

#endif  // USETL_VMM_BASE_THREAD_H_
