// mail.h: records of the two mailbox rings, and the frames of the output ring.
#ifndef USETL_VMM_ABI_MAIL_H_
#define USETL_VMM_ABI_MAIL_H_

#include "vmm/abi/file_table.h"
#include "vmm/abi/ring.h"

namespace usetl::abi {

enum class RecordType : uint16_t {
  // host to guest
  kLoad = 1,        // JSON: what to load; the files are in the host region
  kInvoke = 2,      // JSON: one event
  kStop = 3,        // no payload: end. To the agent when it waits for records, else SIGTERM
  kHttpHead = 4,    // HttpHead, then header block, then the text of an error
  kHttpData = 5,    // HttpSpan: bytes of a streamed body in the host region
  kHttpEnd = 6,     // HttpEnd: the body is complete, or why it is not
  kHttpDone = 7,    // HttpSpan: the host has consumed these bytes of a streamed request body
  kInput = 8,       // bytes for the standard input of a clone's program; none: its end
  kResize = 9,      // WindowSize: of a clone's terminal
  kMountDone = 10,  // MountDone and what it announces, with the id of a kMountChange
  // The body of an HTTP request that was invoked before it was complete, with its id.
  kBodyData = 11,  // the next bytes, at most 24 kB
  kBodyEnd = 12,   // BodyEnd
  // guest to host
  kReady = 16,         // no payload: the agent waits for a load
  kLoaded = 17,        // JSON: ok, or the error with its traceback
  kResult = 18,        // JSON: what the handler returned, or the error with its traceback
  kHttpRequest = 19,   // HttpRequest, then method, URL, header block
  kHttpCancel = 20,    // no payload: forget the transaction
  kRelease = 21,       // HostRegionEntry: the guest uses a host-region entry no longer
  kHttpConsumed = 22,  // HttpSpan: bytes of a streamed response that were read
  kHttpBody = 23,      // HttpSpan: next bytes of a streamed request body, in the guest region
  kHttpBodyEnd = 24,   // no payload
  // A streamed answer to an HTTP request, before the kResult and with its id.
  kAnswerHead = 25,   // JSON: status and headers
  kAnswerData = 26,   // the next bytes of the body, at most 24 kB
  kInputTaken = 27,   // InputTaken: a clone's program has read so much of its input
  kMountChange = 28,  // MountChange, path, text: asked of a mount. One at a time
  kBodyTaken = 29,    // BodyTaken, with the id of a kInvoke: so much of its kBodyData was read
  kMountClose = 30,   // MountClose: a file of a mount is used no longer
};

// How much kBodyData may be under way: what was sent less what was taken.
inline constexpr uint32_t kBodyWindow = 64 << 10;
inline constexpr uint32_t kMaxBodyData = 24 << 10;  // in one record

struct BodyEnd {
  uint32_t broken;  // 1: the client has left
  uint32_t reserved;
};
static_assert(sizeof(BodyEnd) == 8);

struct BodyTaken {
  uint32_t bytes;
  uint32_t reserved;
};
static_assert(sizeof(BodyTaken) == 8);

// How much kInput may be under way: what was sent less what was taken.
inline constexpr uint32_t kInputWindow = 32 << 10;

struct InputTaken {
  uint32_t bytes;
  uint32_t reserved;
};
static_assert(sizeof(InputTaken) == 8);

struct WindowSize {
  uint16_t columns, rows;
  uint32_t reserved;
};
static_assert(sizeof(WindowSize) == 8);

// Where the body of a request lies.
enum class BodyKind : uint32_t {
  kNone = 0,
  kInline = 1,  // after the header block, in the record itself
  kRegion = 2,  // guest region: [offset, offset + size)
  kStream = 3,  // follows as kHttpBody records
  kFile = 4,    // agent to kernel only: body_offset is a descriptor, the kernel makes it kRegion
};

struct HttpRequest {
  uint32_t method_size;  // bytes of ASCII, e.g. "GET"
  uint32_t url_size;
  uint32_t headers_size;  // "Name: value\r\n" lines
  BodyKind body;
  uint64_t body_offset;  // within the guest region
  uint64_t body_size;
  uint64_t max_body;    // of the response; larger is an error. 0: the function's own limit
  uint32_t timeout_ms;  // 0: the function's own limit
  uint32_t flags;       // HttpFlag
};
static_assert(sizeof(HttpRequest) == 48);

enum HttpFlag : uint32_t {
  kHttpStream = 1,      // deliver the body as kHttpData even when it would fit the region
  kHttpNoRedirect = 2,  // hand 3xx answers to the function
  kHttpMayStream = 4,   // deliver the body as kHttpData when the region cannot hold it
};

// Errors of a transaction; coarse on purpose, the full cause goes to the host's log.
enum class HttpError : uint32_t {
  kNone = 0,
  kDenied = 1,   // policy
  kResolve = 2,  // name not found
  kConnect = 3,  // refused, unreachable
  kTls = 4,      // certificate or handshake
  kTimeout = 5,
  kTooLarge = 6,    // body or headers beyond the limit
  kProtocol = 7,    // the peer does not speak HTTP, wrong length, half a body
  kRedirects = 8,   // too many, or a loop
  kBadRequest = 9,  // the function's request is malformed
  kNoSpace = 10,    // the host region is full
  kCancelled = 11,
  kInternal = 12,
};

struct HttpHead {
  HttpError error;
  uint32_t status;        // of the answer, 0 with an error
  uint32_t headers_size;  // "Name: value\r\n" lines, final answer only
  uint32_t message_size;  // one line of text for an error
  uint32_t entry;         // host-region entry of the body; kNoEntry: no body or a streamed one
  uint32_t streamed;      // 1: kHttpData records follow
  uint64_t body_offset;   // within the host region
  uint64_t body_size;     // of the body; ~0 when streamed and unknown
};
static_assert(sizeof(HttpHead) == 40);
inline constexpr uint32_t kNoEntry = ~0u;

struct HttpSpan {
  uint64_t offset;  // within the region that the record type names
  uint64_t size;
};
static_assert(sizeof(HttpSpan) == 16);

struct HttpEnd {
  HttpError error;
  uint32_t message_size;  // text follows
};
static_assert(sizeof(HttpEnd) == 8);

struct HostRegionEntry {
  uint32_t entry;
  uint32_t reserved;
};
static_assert(sizeof(HostRegionEntry) == 8);

// What a function does below a mount, done to the host's file before the function goes on, and what
// it asks. Paths are relative to the mount, without "." and ".."; empty: the mount itself.
enum class MountOp : uint32_t {
  kCreate = 1,           // a regular file with `mode`; EEXIST when it is there
  kReplace = 2,          // the same, or an empty file in place of the one that is there
  kWrite = 3,            // [offset, offset + size) of the guest region to `position`
  kTruncate = 4,         // to `position` bytes
  kMode = 5,             // `mode`
  kMakeDirectory = 6,    // with `mode`
  kRemove = 7,           // a file or link
  kRemoveDirectory = 8,  //
  kRename = 9,           // to the path `text`
  kSymlink = 10,         // to `text`, whatever that is
  kTimes = 11,           // modified `position`, read `offset`: ns since 1970, see below
  // Of directories that are mounted only. There a file is written and read by its handle.
  kLook = 12,    // what the path's names are, but the first `position` of them
  kOpen = 13,    // a regular file, as `flags` say; its first `size` bytes as kRead
  kRead = 14,    // [position, position + size) of a file, into the host region
  kList = 15,    // the names in a directory from `position` on
  kSync = 16,    // a file that was written: fsync(2)
  kClose = 17,   // of the worker to the mount service: `handle`
  kAccess = 18,  // whether the container's user may do to it what `mode` says, as access(2) has it
  kSpace = 19,   // statfs(2) of what the path is, or of the open file `handle`
};

// Of kTimes.
inline constexpr uint64_t kMountTimeStays = ~0ull;
inline constexpr uint64_t kMountTimeNow =
    ~0ull - 1;  // which takes no owner, as an explicit one does

enum MountFlag : uint32_t {
  kMountAppend = 1,     // kWrite: behind what the file has, wherever that ends
  kMountReads = 2,      // kOpen
  kMountWrites = 4,     // kOpen
  kMountTruncates = 8,  // kOpen: to nothing
  kMountOpened = 16,    // kMode, kTimes, kSpace: of the open file `handle`, not of a path
  kMountMaps = 32,      // kRead: to be mapped. What is left for other reads stays theirs
};

inline constexpr uint32_t kNoHandle = ~0u;

struct MountChange {
  MountOp op;
  uint32_t mount;  // number
  uint32_t mode;   // permission bits; of kAccess R_OK, W_OK and X_OK
  uint32_t path_size;
  uint32_t text_size;
  uint32_t flags;   // MountFlag
  uint64_t offset;  // within the guest region
  uint64_t size;
  uint64_t position;  // within the file
  uint32_t handle;
  uint32_t reserved;
};
static_assert(sizeof(MountChange) == 56);

// A file of a mount, as the host has it.
struct MountedFile {
  uint64_t inode, device;
  uint64_t size;
  uint64_t blocks;                   // of 512 bytes, that it takes
  uint64_t modified_ns, changed_ns;  // CLOCK_REALTIME
  uint32_t links;
  FileType type;
  uint16_t mode;     // permission bits
  uint32_t settled;  // 1: a later change has other times than these, however coarse the clock
  uint32_t reserved;
};
static_assert(sizeof(MountedFile) == 64);

// A file system of the host; fields as statfs(2) has them.
struct MountedSpace {
  uint64_t type, flags;
  uint64_t block_size, fragment_size;
  uint64_t blocks, free, available;
  uint64_t files, free_files;
  uint64_t name_length;
};
static_assert(sizeof(MountedSpace) == 80);

inline constexpr uint32_t kMaxLookNames = 32;        // of a longer path the guest asks again
inline constexpr uint32_t kMaxListBytes = 16 << 10;  // of one kList
inline constexpr uint32_t kMaxMountHandles = 512;    // of a container

// Behind it `files` MountedFiles, then `text_size` bytes.
//   kLook: a file for each name up to the first that is no directory; of a link also its target. Of
//     an empty path the mount. ENOENT: the next name does not exist, or is neither file, directory
//     nor link.
//   kCreate, kReplace, kOpen, kRead, kWrite, kTruncate, and what is kMountOpened: the file, before
//     it was read and after it was changed. The first three: also its handle.
//   kOpen, kRead: `size` bytes, fewer only at the end of the file, at `offset` of the host region,
//     in the nameless entry `entry` (kNoEntry: of no bytes). ENOSPC: the region has no such room.
//   kWrite: `size` is how much was written, of a directory's file; less: there is room for no more.
//   kList: records of getdents64(2), at the end none. `size`: where to go on.
//   kSpace: a MountedSpace as text.
struct MountDone {
  int32_t error;  // errno, 0: done
  uint32_t files;
  uint32_t text_size;
  uint32_t entry;
  uint32_t handle;
  uint32_t reserved;
  uint64_t offset;
  uint64_t size;
};
static_assert(sizeof(MountDone) == 40);
inline constexpr uint32_t kMaxMountDone =
    sizeof(MountDone) + kMaxLookNames * sizeof(MountedFile) + kMaxListBytes;

struct MountClose {
  uint32_t handle;
  uint32_t reserved;
};
static_assert(sizeof(MountClose) == 8);

// Output ring: a byte ring of frames. `stream` is 1 (stdout) or 2 (stderr).
struct OutputFrame {
  uint16_t stream;
  uint16_t size;  // bytes that follow
};
static_assert(sizeof(OutputFrame) == 4);

}  // namespace usetl::abi

#endif  // USETL_VMM_ABI_MAIL_H_
