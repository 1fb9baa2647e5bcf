// heap.h: the heap that workers begin with.
#ifndef USETL_VMM_PROXY_DAEMON_HEAP_H_
#define USETL_VMM_PROXY_DAEMON_HEAP_H_

namespace usetl {

// Takes the free pieces that lie scattered over this process's heap, for good. What a worker
// allocates then lies side by side behind them, on few pages of its own, in place of one piece here
// and one there on pages that it would share with the daemon otherwise. The pieces themselves stay
// shared. Once, when all is set up that workers inherit; single-threaded.
void FillHeap();

}  // namespace usetl

#endif  // USETL_VMM_PROXY_DAEMON_HEAP_H_
