// node.h: a node's daemons: a running one, or one brought up for a single command.
#ifndef USETL_VMM_CLI_NODE_H_
#define USETL_VMM_CLI_NODE_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "vmm/base/status.h"

namespace usetl {

struct NodeOptions {
  std::string directory;  // sockets: vmmd.sock, proxy.sock
  std::string runtimes;   // baked runtimes
  std::string runtime = "python3.11";
  uint32_t pool = 2;
  uint64_t region = 64 << 20;  // host and guest region of a USF
  uint64_t memory = 512 << 20;
  std::vector<std::string> objects;  // NAME=DIRECTORY[:rw] behind file: URLs
  uint32_t trace = 0;
  bool verify = false;
  bool huge_pages = true;
};

// Files that are installed beside the program.
std::string ProgramDirectory();
std::string KernelPath();
std::string AgentPath();
std::string UsfPath();
// Where runtimes are kept unless told otherwise.
std::string DefaultRuntimes();
inline constexpr char kDefaultNode[] = "/run/usetl";

std::string VmmdSocket(const std::string& directory);
std::string ProxySocket(const std::string& directory);

// Runs both daemons as children of this process until it ends or Stop().
class Node {
 public:
  // Forks the daemons and waits until their sockets answer.
  static Result<std::unique_ptr<Node>> Start(const NodeOptions& options);
  ~Node();

  std::string proxy_socket() const { return ProxySocket(directory_); }
  // Waits until a daemon ends or a signal says stop; which one ended, in words.
  std::string Wait();

 private:
  Node() = default;
  std::string directory_;
  pid_t vmmd_ = -1, proxy_ = -1;
  bool own_directory_ = false;
};

}  // namespace usetl

#endif  // USETL_VMM_CLI_NODE_H_
