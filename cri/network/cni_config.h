// cni_config.h: the network configuration of the node, as CNI has it.
#ifndef USETL_CRI_NETWORK_CNI_CONFIG_H_
#define USETL_CRI_NETWORK_CNI_CONFIG_H_

#include <sys/stat.h>

#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"

namespace usetl::cri {

// Of configurations and of what plugins answer.
inline constexpr size_t kMaxCniDocument = 1 << 20;

struct CniPlugin {
  std::string type;                    // a file name
  std::set<std::string> capabilities;  // those that are true
  nlohmann::json config;               // an object, without its capabilities
};

struct CniConfig {
  std::string text;     // what it was read from
  std::string version;  // the highest that it and this runtime know
  std::string name;
  bool disable_check = false;
  std::vector<CniPlugin> plugins;  // at least one

  bool AtLeast(int major, int minor) const;
};

// A list of plugins, or a single plugin. EBADMSG for anything else.
Result<CniConfig> ParseCniConfig(std::string_view text);

// The configuration of a directory: its first file, by name, of those called *.conflist, *.conf or
// *.json. Thread-safe.
class CniDirectory {
 public:
  explicit CniDirectory(std::string path) : path_(std::move(path)) {}

  // As the directory is now. EHOSTUNREACH: there is none, or no good one; no other file is taken in
  // place of a bad one.
  Result<std::shared_ptr<const CniConfig>> Get();

 private:
  // What tells that a file or directory is still the one that was read.
  struct Mark {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    int64_t modified = 0;  // ns since 1970
    bool operator==(const Mark&) const = default;
  };
  static bool Look(const std::string& path, Mark* mark);

  const std::string path_;
  std::mutex mutex_;
  std::shared_ptr<const CniConfig> config_;  // null: nothing that may be used again
  std::string file_;
  Mark directory_mark_, file_mark_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_NETWORK_CNI_CONFIG_H_
