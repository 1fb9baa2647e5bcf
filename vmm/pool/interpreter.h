// interpreter.h: the Python that an image brings along.
#ifndef USETL_VMM_POOL_INTERPRETER_H_
#define USETL_VMM_POOL_INTERPRETER_H_

#include <string>
#include <string_view>

#include "vmm/pack/pack_layers.h"

namespace usetl {

struct Interpreter {
  std::string program;  // as PATH finds it: of a virtual environment, the link in there
  std::string path;     // the file itself
};

// Looks for python3, then python, in the directories of `search` (a PATH; empty: the usual ones).
// ENOENT: the image has none. EINVAL: it has one that cannot run here, in a line that says why.
Result<Interpreter> FindInterpreter(const pack::PackLayers& layers, std::string_view search);

}  // namespace usetl

#endif  // USETL_VMM_POOL_INTERPRETER_H_
