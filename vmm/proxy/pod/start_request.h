// start_request.h: what usetld asks a worker to run, checked.
#ifndef USETL_VMM_PROXY_POD_START_REQUEST_H_
#define USETL_VMM_PROXY_POD_START_REQUEST_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/ipc/socket.h"

namespace usetl::pod {

// As protocol.h describes the JSON of a start.
struct StartRequest {
  std::string id, runtime, tenant;
  uint64_t memory = 0;  // bytes; 0: the node's limit
  std::string mode;     // "http", "script" or "auto"
  std::string path, target, cwd, hostname;
  std::vector<std::string> arguments;
  std::map<std::string, std::string> environment;
  std::vector<uint16_t> ports;
  std::vector<std::string> allow;  // origins
  bool network = false;            // all that the pod's network leads to
  uint32_t timeout_ms = 0;         // of a request; 0: none
  uint32_t start_timeout_ms = 30'000;
  bool read_only_root = false;

  struct File {
    std::string path;
    uint16_t mode;
    uint64_t offset, size;  // within the contents
    uint32_t mount;         // as abi::FileEntry has it
  };
  struct Directory {
    std::string path;
    uint16_t mode;
    uint32_t mount;
  };
  struct Link {
    std::string path, target;
  };
  std::vector<File> files;
  std::vector<Directory> directories;
  std::vector<Link> links;

  Fd log;                         // may be none
  std::vector<Fd> packs;          // lowest layer first
  Fd contents;                    // may be none
  std::vector<Fd> mounted_files;  // writable
};

// Takes the message apart. EPROTO: record and descriptors do not match; EINVAL says which member
// of the JSON is wrong.
Result<StartRequest> ReadStart(ipc::Message message);

// What a mount has now, from the descriptors of an UpdateMountRecord: path, files, directories,
// links and contents are set, no more. Errors as of ReadStart.
Result<StartRequest> ReadMountUpdate(uint32_t json_size, std::vector<Fd> fds);

// The payload of kLoad.
std::string LoadRecord(const StartRequest& request);

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_START_REQUEST_H_
