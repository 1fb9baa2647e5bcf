// node.h: a node's daemons as children of this command.
#ifndef USETL_VMM_CLI_NODE_H_
#define USETL_VMM_CLI_NODE_H_

#include <memory>
#include <string>
#include <vector>

#include "vmm/base/installation.h"
#include "vmm/base/status.h"
#include "vmm/cli/spawn.h"
#include "vmm/ipc/listener.h"

namespace usetl {

struct NodeOptions {
  std::string directory;  // of the sockets; empty: one that goes with the node
  std::string runtimes;   // baked runtimes
  std::string runtime = kDefaultRuntime;
  uint32_t pool = 2;
  uint64_t region = 64 << 20;  // host and guest region of a USF
  uint64_t memory = 512 << 20;
  std::vector<std::string> objects;  // NAME=DIRECTORY[:rw] behind file: URLs
  uint32_t trace = 0;
  bool verify = false;
  bool huge_pages = true;
  bool cri = false;               // serve the CRI too
  std::string state;              // of usetld; empty: below `directory`
  std::string images;             // of usetld; empty: ImageStoreOf(directory)
  std::string metrics;            // of usetld: ADDRESS:PORT; empty: none
  std::string vmmd_metrics;       // of usetl-vmmd, likewise
  std::string cgroup_driver;      // of usetld; empty: its own
  bool network = true;            // of pods; false: a loopback only
  std::string cni_conf, cni_bin;  // of usetld; empty: its own
  // Of usetld, which checks them.
  std::vector<std::string> registry_mirrors, registry_insecure, pinned;
  std::string registry_ca;
};

class Node {
 public:
  // Starts the daemons and waits until they serve.
  static Result<std::unique_ptr<Node>> Start(const NodeOptions& options);
  // Ends them; no socket of theirs is left, whatever became of them.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  std::string proxy_socket() const { return ProxySocket(directory_); }
  // From now on SIGINT and SIGTERM end Wait(), not the process.
  static void HoldSignals();
  // Waits until a daemon ends or a signal says stop; which one ended, in words.
  // REQUIRES: HoldSignals().
  std::string Wait();

 private:
  Node() = default;
  std::string directory_;
  Daemon vmmd_, proxy_, usetld_;
  ipc::SocketName vmmd_name_, proxy_name_, pods_name_;  // once they serve
  bool own_directory_ = false;
};

}  // namespace usetl

#endif  // USETL_VMM_CLI_NODE_H_
