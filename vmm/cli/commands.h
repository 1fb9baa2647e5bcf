// commands.h: the verbs of `usetl`, one file each.
#ifndef USETL_VMM_CLI_COMMANDS_H_
#define USETL_VMM_CLI_COMMANDS_H_

#include <string>
#include <vector>

#include "vmm/cli/node.h"

namespace usetl {

struct RunOptions {
  std::string function;        // path of the .py file
  std::string handler;         // empty: found by name
  std::string event = "null";  // JSON, or @FILE
  bool with_event = false;     // it was given: a handler is meant
  std::vector<std::string> allow, env, arguments;
  std::string mode = "auto";
  double timeout_seconds = 60;
  std::string node;          // directory of a running node
  bool node_chosen = false;  // it was given
  bool timings = false;
  uint64_t memory = 0;   // 0: what the node gives
  NodeOptions embedded;  // when none runs there
  std::string of_node;   // an option that was given and that only a node of its own can follow
};
// Each returns the process's exit status and has told the user what went wrong.
int RunMain(int argc, char** argv);
int UpMain(int argc, char** argv);
int PsMain(int argc, char** argv);
int InspectMain(int argc, char** argv);

// The same, once the arguments are read.
int RunFunction(const RunOptions& options);

int BringUp(const NodeOptions& options);
int Inspect(const std::string& node, bool table);

// One line on stderr: "usetl: message".
int Complain(const std::string& message, int status = 1);

}  // namespace usetl

#endif  // USETL_VMM_CLI_COMMANDS_H_
