// main.cc: usetl: one command with a verb.
#include <cstdio>
#include <cstring>

#include "vmm/base/command_line.h"
#include "vmm/base/installation.h"
#include "vmm/base/output.h"
#include "vmm/cli/commands.h"

namespace usetl {

int Complain(const std::string& message, int status) {
  std::fflush(stdout);
  std::fprintf(stderr, "usetl: %s\n", message.c_str());
  return status;
}

namespace {

// A verb is a command line of its own: only the options of the one that is asked for are made.
// Verbs that need libraries which this program does without are programs of their own.
constexpr struct Verb {
  const char* name;
  int (*main)(int argc, char** argv);
  const char *program, *option;
  const char* what;
} kVerbs[] = {
    {"run", RunMain, nullptr, nullptr,
     "Run one function; its exit status is that of the function."},
    {"up", UpMain, nullptr, nullptr, "Run the daemons of a node in the foreground."},
    {"ps", PsMain, nullptr, nullptr, "List the USFs of a running node."},
    {"inspect", InspectMain, nullptr, nullptr,
     "Show pool, USFs and counters of a running node as JSON."},
    {"bake", nullptr, "usetl-bake", nullptr,
     "Make a runtime out of a root file system (a directory or tar archive) or of an image."},
    {"image", nullptr, "usetl-image", nullptr,
     "Pull, import, list and remove images of the node's image store."},
    {"doctor", nullptr, "usetl-vmmd", "--doctor",
     "Say what this machine has and lacks, and what to do."},
};

int Follow(const Verb& verb, int argc, char** argv) {
  std::string name = std::string("usetl ") + verb.name;
  if (verb.main != nullptr) {
    argv[1] = name.data();
    return verb.main(argc - 1, argv + 1);
  }
  std::vector<std::string> arguments(argv + 2, argv + argc);
  if (verb.option != nullptr) arguments.insert(arguments.begin(), verb.option);
  return Complain(Become(verb.program, name, arguments).message());
}

// No verb: help, or what is wrong.
int Explain(int argc, char** argv) {
  if (argc == 1 || argv[1][0] != '-') {
    std::string names;
    for (const Verb& verb : kVerbs) names += std::string(names.empty() ? "" : ", ") + verb.name;
    const std::string what =
        argc == 1 ? "a verb is missing" : std::string("there is no ") + argv[1];
    return Complain(what + "; verbs are " + names + "; see usetl --help", 2);
  }
  CLI::App app{
      "USETL runs functions in micro-VMs that were booted, warmed and snapshotted before.\n"
      "First: usetl doctor; then usetl bake ROOTFS; then usetl run FUNC.py.\n"
      "usetl VERB --help says more about a verb.",
      "usetl"};
  for (const Verb& verb : kVerbs) app.add_subcommand(verb.name, verb.what);
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  return Complain("the verb comes first: usetl VERB ...", 2);
}

int Main(int argc, char** argv) {
  for (const Verb& verb : kVerbs) {
    if (argc > 1 && std::strcmp(argv[1], verb.name) == 0) return Follow(verb, argc, argv);
  }
  return Explain(argc, argv);
}

}  // namespace
}  // namespace usetl

int main(int argc, char** argv) {
  usetl::ReserveOutput();
  return usetl::EndOutput(usetl::Main(argc, argv));
}
