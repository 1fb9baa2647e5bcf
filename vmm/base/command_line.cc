#include "vmm/base/command_line.h"

#include <cctype>
#include <cstdio>
#include <filesystem>

#include "vmm/base/version.h"

namespace usetl {
namespace {

// "usetl image pull"; of a daemon its name without the path.
std::string NameOf(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  const std::string own = std::filesystem::path(app.get_name()).filename();
  return parent == nullptr ? own : NameOf(*parent) + " " + own;
}

// CLI11 writes sentences; ours go on in a line.
std::string AsPart(std::string text) {
  while (!text.empty() && (text.back() == '.' || text.back() == '\n')) text.pop_back();
  for (char& c : text) c = c == '\n' ? ' ' : c;
  if (text.size() > 1 && (text[1] == ' ' || std::islower(static_cast<unsigned char>(text[1])))) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  return text;
}

}  // namespace

std::optional<int> ReadArguments(CLI::App* app, int argc, char** argv) {
  // A verb, whose name has a blank, has no version of its own.
  const std::string program = std::filesystem::path(argv[0]).filename();
  if (program.find(' ') == program.npos) {
    app->set_version_flag("--version", program + " " + Version(), "print the version");
  }
  try {
    app->parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::Success& help) {
    return app->exit(help);
  } catch (const CLI::ParseError& error) {
    const CLI::App* wrong = app;
    while (!wrong->get_subcommands().empty()) wrong = wrong->get_subcommands().back();
    // Something is missing, and another word is one too many: that one was mistyped.
    const std::vector<std::string> unknown = app->remaining(/*recurse=*/true);
    const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    const std::string why =
        missing && !unknown.empty() ? CLI::ExtrasError(unknown).what() : error.what();
    return RefuseArguments(*wrong, AsPart(why));
  }
}

CLI::Option* AddPath(CLI::App* app, const std::string& name, std::string* path,
                     const std::string& what) {
  return app->add_option(name, *path, what)->check([](const std::string& given) {
    return std::string(given.empty() ? "wants a path" : "");
  });
}

int RefuseArguments(const CLI::App& app, const std::string& why) {
  const std::string name = NameOf(app);
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s; see %s --help\n", name.substr(0, name.find(' ')).c_str(),
               why.c_str(), name.c_str());
  return 2;
}

}  // namespace usetl
