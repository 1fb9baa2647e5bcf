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
};

// Of a container that has ended: its CPU time, as its worker left it.
Usage ReadUsage(const ContainerRecord& container);
Usage& operator+=(Usage& a, const Usage& b);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_USAGE_H_
