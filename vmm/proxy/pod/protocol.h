// protocol.h: what usetld and the worker of a container say to each other.
//
// usetld connects to usetl-proxy's socket for pods (root's, mode 0600) and is trusted until the
// worker has joined the pod and dropped its privileges. One connection starts one container:
//
//   usetld                                         worker
//     <------------------------------------- kTaken  at once, so that it can be killed if it hangs
//     JoinRecord + descriptors  ------------------>  joins network and cgroup, drops privileges
//     StartRecord + JSON + descriptors ----------->  claims a USF, loads, listens
//     <------------------------------- kStarted or kFailed
//     kStop, kReopenLog, kExec, kCount  ---------->
//     <------------------------------------ kExited  and the worker ends
//
// A usetld that was restarted connects to the container's own control socket, where the worker
// listens from its start on, and is greeted with kStarted. The worker serves the latest connection
// only, and goes on without one. Its exit is also written to the exit file, so that nobody misses
// it.
#ifndef USETL_VMM_PROXY_POD_PROTOCOL_H_
#define USETL_VMM_PROXY_POD_PROTOCOL_H_

#include <cstdint>

namespace usetl::pod {

// Descriptors of a join, in this order.
enum JoinFd : uint32_t {
  kNetworkFd,    // the pod's network namespace
  kControlFd,    // listening unix socket of the container
  kExitFd,       // empty file for the ExitRecord, open for writing
  kJoinFdCount,  // then the pod's cgroup in each hierarchy, open for writing: "tasks" in version 1,
                 // "cgroup.procs" in version 2
};

// Those with which a container's root reads and writes files of others: 1 << CAP_DAC_OVERRIDE and
// 1 << CAP_FOWNER.
inline constexpr uint32_t kOverrideCapability = 1U << 1, kOwnerCapability = 1U << 3;
inline constexpr uint32_t kFileCapabilities = kOverrideCapability | kOwnerCapability;

// Behind the cgroups: the directories that the function may change, each as a detached mount
// (open_tree(2)), from which no path leads elsewhere. They are mounts 0 and up.
struct JoinRecord {
  uint32_t version;       // kVersion
  uint32_t cgroups;       // descriptors behind the fixed ones
  uint32_t usf_cgroups;   // bit i: the USF enters the i-th of these as well
  uint32_t directories;   // behind the cgroups
  uint32_t uid, gid;      // who changes the directories
  uint32_t capabilities;  // what root keeps, of kFileCapabilities
  uint32_t groups;        // used of `group`
  uint32_t group[32];     // supplementary ones
  int32_t oom_score;      // of the worker's and the USF's processes: -1000 to 1000
};
inline constexpr uint32_t kVersion = 6;

// Descriptors of a start, in this order: the log (when has_log), one pack per layer (lowest first),
// one file of contents (when has_contents), the files that the function may change, open for
// writing: mounts behind those of the join.
//
// The JSON that follows:
//   {"id": ID, "runtime": NAME, "tenant": NAME, "memory": BYTES (0: the node's limit),
//    "mode": "http" | "script" | "auto", "path": FILE OR DIRECTORY, "target":
//    "module:attribute"|"", "cwd": DIR, "argv": [...], "env": {NAME: VALUE}, "hostname": NAME,
//    "ports": [N, ...]            TCP ports to serve HTTP on, all addresses of the pod
//    "allow": [ORIGIN, ...]       what it may reach
//    "network": TRUE OR FALSE     whether it may reach whatever the pod's network leads to, too
//    "files": [{"path": ABSOLUTE, "mode": N, "offset": N, "size": N, "mount": N}, ...]
//                                 within the contents
//    "directories": [{"path": ABSOLUTE, "mode": N, "mount": N}, ...]
//    "links": [{"path": ABSOLUTE, "target": TEXT}, ...]
//    "read_only_root": TRUE OR FALSE; whether nothing but writable mounts may be changed
//    "timeout_ms": N              of one request; 0: none
//    "start_timeout_ms": N}       until loaded
// "mount": where a mount begins, as abi::FileEntry has it; a directory comes before what is in it.
struct StartRecord {
  uint32_t has_log;
  uint32_t packs;
  uint32_t has_contents;
  uint32_t mounted_files;
  uint32_t text_size;  // of the JSON: within this message when it fits, else in the file that is
                       // the last descriptor
};

enum class Type : uint32_t {
  // worker to usetld
  kStarted = 1,  // StartedRecord
  kFailed = 2,   // FailedRecord, then text: it could not be started; the worker ends
  kExited = 3,   // ExitRecord, then text; the worker ends
  kTaken = 4,    // with one descriptor: the worker's pidfd; before all else
  // usetld to worker
  kStop = 16,         // StopRecord: let the function end itself, then kill it
  kReopenLog = 17,    // with one descriptor: the new log
  kExec = 18,         // ExecRecord, its text and descriptors: run a program in a clone of the USF
  kCount = 19,        // with one descriptor: the page for what is counted (pod/counts.h)
  kUpdateMount = 20,  // UpdateMountRecord: a read-only mount has other files now
  // Over the session of an exec. Its end is the end of the program: usetld closes it to kill.
  kExecFailed = 32,  // FailedRecord, then text: the program was not started
  kExecExited = 33,  // ExecExitedRecord; nothing follows
  kResize = 34,      // ResizeRecord, from usetld: the terminal has another size
};

struct Header {
  Type type;
  uint32_t text_size;  // bytes of text that follow the record
};

struct StartedRecord {
  Header header;
  int32_t worker;       // pid
  int32_t usf;          // pid of the USF's process, as usetl-vmmd says
  uint64_t usf_cpu_ns;  // what the USF had used before it was claimed
};

enum class Reason : uint32_t {
  kCompleted = 0,  // exit code 0
  kError = 1,
  kOutOfMemory = 2,
  kLost = 3,  // the USF or its daemon went away
};

struct FailedRecord {
  Header header;
  int32_t code;   // errno
  Reason reason;  // of a start kOutOfMemory: its function lacked memory while it was loaded
};

struct ExitRecord {
  Header header;
  int32_t code;  // 0-255, 128 + signal
  Reason reason;
  int64_t finished_at;  // ns since 1970
  uint64_t cpu_ns;      // of USF and worker, over the container's life
  uint64_t lines_lost;  // of the log: disk full or too slow
};

// Descriptors of an exec, in this order; all are connected SOCK_STREAM sockets, the first one
// SOCK_SEQPACKET. Those that the record does not announce are left out.
enum ExecFd : uint32_t { kSessionFd, kFirstStreamFd };

struct ExecRecord {
  // Text: the arguments as a JSON array; the first is looked for in PATH. An empty one: no program,
  // but what the function prints from here on; the function's end is told as a program's.
  Header header;
  uint32_t terminal;  // 1: in and out are both ends of a terminal, has_error is 0
  uint16_t columns, rows;
  uint32_t has_in, has_out, has_error;
  uint32_t reserved;
};

// Descriptors: a file with JSON, and one of contents (when has_contents). The JSON has "path",
// where the mount begins, and "files", "directories", "links" as a start has them: all that is
// below.
struct UpdateMountRecord {
  Header header;
  uint32_t json_size;
  uint32_t has_contents;
};

struct ExecExitedRecord {
  Header header;
  int32_t code;  // 0-255, 128 + signal; 126 and 127 as shells have them
  uint32_t reserved;
};

struct ResizeRecord {
  Header header;
  uint16_t columns, rows;
  uint32_t reserved;
};

struct StopRecord {
  Header header;
  uint32_t grace_ms;  // 0: kill at once
  uint32_t reserved;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_PROTOCOL_H_
