// oom_score.h: which processes the kernel ends first when the machine's memory runs out.
#ifndef USETL_VMM_BASE_OOM_SCORE_H_
#define USETL_VMM_BASE_OOM_SCORE_H_

#include <sys/types.h>

#include "vmm/base/status.h"

namespace usetl {

inline constexpr int kLeastOomScore = -1000, kMostOomScore = 1000;  // never, and before all others

// What a process has; 0 is this one. 0 when that cannot be told.
int OomScoreOf(pid_t process);
// What this process had when it first asked; children have it too.
int OwnOomScore();
// Of a process; 0 is this one. EACCES: that is less than it had, which wants CAP_SYS_RESOURCE.
Status SetOomScore(pid_t process, int score);

}  // namespace usetl

#endif  // USETL_VMM_BASE_OOM_SCORE_H_
