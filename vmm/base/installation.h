// installation.h: the files of USETL: they lie beside the program that runs.
#ifndef USETL_VMM_BASE_INSTALLATION_H_
#define USETL_VMM_BASE_INSTALLATION_H_

#include <string>
#include <vector>

#include "vmm/base/status.h"

namespace usetl {

// The path of `name` beside the running program.
std::string InstalledPath(const std::string& name);

// Becomes the program `name`, called `shown_as` in its help. Returns only to say why it could not.
Status Become(const std::string& name, const std::string& shown_as,
              std::vector<std::string> arguments);

inline std::string KernelPath() { return InstalledPath("usetl-kernel.elf"); }
inline std::string AgentPath() { return InstalledPath("agent"); }
inline std::string UsfPath() { return InstalledPath("usetl-usf"); }

// Where runtimes are kept unless told otherwise: $USETL_RUNTIMES, else a directory of the system.
std::string DefaultRuntimes();

// The runtime that is meant where none is named.
inline constexpr char kDefaultRuntime[] = "python3.11";

// Where a node's sockets are unless told otherwise.
inline constexpr char kDefaultNode[] = "/run/usetl";
inline std::string VmmdSocket(const std::string& node) { return node + "/vmmd.sock"; }
inline std::string PodsSocket(const std::string& node) { return node + "/pods.sock"; }
inline std::string ProxySocket(const std::string& node) { return node + "/proxy.sock"; }
inline std::string CriSocket(const std::string& node) { return node + "/usetl.sock"; }

// Of an EACCES at a socket of the node: whose it is, and what to do.
Status NodeOfAnother(const std::string& node);

// Where a node keeps its images unless told otherwise: those of the usual node survive a restart of
// the machine, those of another one lie in its directory.
std::string ImageStoreOf(const std::string& node);

}  // namespace usetl

#endif  // USETL_VMM_BASE_INSTALLATION_H_
