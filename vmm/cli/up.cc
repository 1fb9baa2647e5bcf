// up.cc: usetl up: the daemons in the foreground.
#include <cstdio>

#include "vmm/cli/commands.h"

namespace usetl {

int BringUp(const NodeOptions& options) {
  Result<std::unique_ptr<Node>> node = Node::Start(options);
  if (!node.ok()) return Complain(node.status().message());
  Node::HoldSignals();  // whoever has read the line may send one
  std::fprintf(stderr,
               "node %s serves; %u USFs of %s are being made ready (usetl ps lists them); stop "
               "with Ctrl-C\n",
               options.directory.c_str(), options.pool, options.runtime.c_str());
  const std::string ended = (*node)->Wait();
  return ended.empty() ? 0 : Complain(ended);
}

}  // namespace usetl
