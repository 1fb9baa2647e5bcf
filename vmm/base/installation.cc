#include "vmm/base/installation.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace usetl {

std::string InstalledPath(const std::string& name) {
  char program[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", program, sizeof program);
  // Without /proc there is no directory to speak of: the name then shows up in the error.
  const std::string path(program, size > 0 ? size : 0);
  return path.substr(0, path.rfind('/') + 1) + name;
}

Status Become(const std::string& name, const std::string& shown_as,
              std::vector<std::string> arguments) {
  const std::string path = InstalledPath(name);
  arguments.insert(arguments.begin(), shown_as);
  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  execv(path.c_str(), words.data());
  return Status::Errno("start " + path);
}

std::string DefaultRuntimes() {
  const char* set = std::getenv("USETL_RUNTIMES");
  if (set != nullptr) return set;
  const std::string beside = InstalledPath("runtimes");  // where a build folder has them
  return access(beside.c_str(), F_OK) == 0 ? beside : "/var/lib/usetl/runtimes";
}

Status NodeOfAnother(const std::string& node) {
  std::string owner;
  struct stat info;
  if (stat(VmmdSocket(node).c_str(), &info) == 0 || stat(node.c_str(), &info) == 0) {
    // No names of others: this program is linked statically, which has no name service.
    owner = info.st_uid == 0 ? " (root)" : " (uid " + std::to_string(info.st_uid) + ")";
  }
  return Status(EACCES, "the node in " + node + " belongs to another user" + owner +
                            "; run as that user, or with sudo");
}

std::string ImageStoreOf(const std::string& node) {
  const std::string directory = node.substr(0, node.find_last_not_of('/') + 1);
  return directory == kDefaultNode ? "/var/lib/usetl/images" : directory + "/images";
}

}  // namespace usetl
