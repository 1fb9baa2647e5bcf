// usage.h: what a running container uses: its USF's process, and the worker that serves it.
#ifndef USETL_CRI_CONTAINER_USAGE_H_
#define USETL_CRI_CONTAINER_USAGE_H_

#include <cstdint>

#include "records.pb.h"

namespace usetl::cri {

struct Usage {
  uint64_t cpu_ns = 0;          // since the container's start; grows only
  uint64_t private_bytes = 0;   // memory that only this container has: pages of its own
  uint64_t resident_bytes = 0;  // with what it shares: snapshot, packs, regions
  uint64_t page_faults = 0, major_page_faults = 0;
  uint32_t processes = 0;
  // Shares of cpu_ns in user and kernel mode are as these: clock ticks since the processes began.
  uint64_t user_ticks = 0, system_ticks = 0;
};

// What costs more to read. Sums over the container's processes.
struct UsageDetails {
  uint64_t peak_bytes = 0;  // of resident memory; each process's own peak
  uint64_t swap_bytes = 0, page_table_bytes = 0;
  uint64_t descriptors = 0, sockets = 0;
};

// Of a container that has ended: its CPU time, as its worker left it.
Usage ReadUsage(const ContainerRecord& container);
Usage& operator+=(Usage& a, const Usage& b);
UsageDetails ReadDetails(const ContainerRecord& container);
// Swapped out; reads nothing on a machine without swap.
uint64_t ReadSwap(const ContainerRecord& container);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_USAGE_H_
