// command_line.h: the arguments of a program, read by CLI11, and what is said of wrong ones.
#ifndef USETL_VMM_BASE_COMMAND_LINE_H_
#define USETL_VMM_BASE_COMMAND_LINE_H_

#include <CLI/CLI.hpp>
#include <optional>

namespace usetl {

// The status to end with, if the process is to end now: 0 once it has printed the help, or
// a program's version, that was asked for, 2 with a line on stderr when the arguments are wrong.
// The line begins with the first word of the app's name, which is argv[0] unless it was given one.
std::optional<int> ReadArguments(CLI::App* app, int argc, char** argv);

// A line about arguments that are wrong in a way which CLI11 does not see; 2.
int RefuseArguments(const CLI::App& app, const std::string& why);

// A list that takes one value each time: what stands behind it is not for it.
template <typename T>
CLI::Option* AddList(CLI::App* app, const std::string& name, T* values, const std::string& what) {
  return app->add_option(name, *values, what + "; may be repeated")->allow_extra_args(false);
}

// A path, which is not empty.
CLI::Option* AddPath(CLI::App* app, const std::string& name, std::string* path,
                     const std::string& what);

}  // namespace usetl

#endif  // USETL_VMM_BASE_COMMAND_LINE_H_
