#include "cri/network/cni_config.h"

#include <fcntl.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "vmm/base/fd.h"
#include "vmm/base/json_text.h"

namespace usetl::cri {
namespace {

using nlohmann::json;

constexpr size_t kMaxPlugins = 64;
constexpr size_t kMaxName = 200;
constexpr size_t kMaxFiles = 4096;
// In ascending order. Results of older versions look different.
constexpr std::array<std::string_view, 5> kVersions = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};
// Times of files are no finer than the kernel's ticks: a file as young as this may change unseen.
constexpr int64_t kYoung = 100'000'000;

Status Bad(std::string message) { return Status(EBADMSG, std::move(message)); }

// Letters, digits, "_.-", and neither of the last two first: a file name, and fit for a plugin's
// environment.
bool IsName(std::string_view name) {
  const auto is_alnum = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= kMaxName && is_alnum(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

Result<std::string> GetName(const json& object, const char* key) {
  const json* value = Member(object, key);
  if (value == nullptr || !value->is_string()) {
    return Bad(std::string("\"") + key + "\" is missing or no string");
  }
  const auto& name = value->get_ref<const std::string&>();
  if (!IsName(name)) return Bad(std::string("\"") + key + "\" is no valid name");
  return name;
}

// -1: not known here.
int IndexOf(const json& version) {
  if (!version.is_string()) return -1;
  const auto found =
      std::find(kVersions.begin(), kVersions.end(), version.get_ref<const std::string&>());
  return found == kVersions.end() ? -1 : static_cast<int>(found - kVersions.begin());
}

Result<std::string> ChooseVersion(const json& list) {
  int best = -1;
  if (const json* one = Member(list, "cniVersion"); one != nullptr) best = IndexOf(*one);
  if (const json* several = Member(list, "cniVersions"); several != nullptr) {
    if (!several->is_array()) return Bad("\"cniVersions\" is no array");
    for (const json& version : *several) best = std::max(best, IndexOf(version));
  }
  if (best < 0) return Bad("no \"cniVersion\" from 0.3.0 to 1.1.0");
  return std::string(kVersions[best]);
}

// Some write it as a string.
Result<bool> GetFlag(const json& list, const char* key) {
  const json* value = Member(list, key);
  if (value == nullptr) return false;
  if (value->is_boolean()) return value->get<bool>();
  if (*value == "true") return true;
  if (*value == "false") return false;
  return Bad(std::string("\"") + key + "\" is neither true nor false");
}

Result<CniPlugin> ParsePlugin(json object) {
  if (!object.is_object()) return Bad("a plugin is no object");
  Result<std::string> type = GetName(object, "type");
  if (!type.ok()) return type.status();
  CniPlugin plugin{std::move(*type), {}, {}};
  if (const json* capabilities = Member(object, "capabilities"); capabilities != nullptr) {
    if (!capabilities->is_object()) return Bad("\"capabilities\" is no object");
    for (const auto& [name, wanted] : capabilities->items()) {
      if (!wanted.is_boolean()) return Bad("a capability is neither true nor false");
      if (wanted.get<bool>()) plugin.capabilities.insert(name);
    }
  }
  object.erase("capabilities");
  plugin.config = std::move(object);
  return plugin;
}

Result<std::string> ReadText(const std::string& path) {
  // Links are fine: /etc is its owner's. A FIFO must not hold us up.
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info;
  if (!file.ok() || fstat(file.get(), &info) != 0) return Status::Errno("open");
  if (!S_ISREG(info.st_mode)) return Bad("no regular file");
  std::string text(kMaxCniDocument + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = read(file.get(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::Errno("read");
    if (n == 0) break;
    size += n;
  }
  text.resize(size);
  return text;
}

// Empty: there is none.
Result<std::string> FirstFile(const std::string& directory) {
  std::error_code error;
  std::filesystem::directory_iterator entry(directory, error);
  std::string first;
  size_t seen = 0;
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (++seen > kMaxFiles) return Status(E2BIG, "more than 4096 files in " + directory);
    const std::string extension = entry->path().extension();
    if (extension != ".conflist" && extension != ".conf" && extension != ".json") continue;
    const std::string name = entry->path().filename();
    if (first.empty() || name < first) first = name;
  }
  if (error) return Status(error.value(), "read " + directory + ": " + error.message());
  return first;
}

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

bool CniConfig::AtLeast(int major, int minor) const {
  const std::string least = std::to_string(major) + "." + std::to_string(minor) + ".0";
  return version >= least;  // one digit each, in all that are known
}

Result<CniConfig> ParseCniConfig(std::string_view text) {
  if (text.size() > kMaxCniDocument) return Bad("the configuration is larger than 1 MB");
  Result<json> parsed = ParseJson(text, "the configuration");
  if (!parsed.ok()) return Bad(parsed.status().message());
  if (!parsed->is_object()) return Bad("the configuration is no JSON object");
  json& list = *parsed;
  CniConfig config;
  config.text = text;
  Result<std::string> version = ChooseVersion(list);
  if (!version.ok()) return version.status();
  Result<std::string> name = GetName(list, "name");
  if (!name.ok()) return name.status();
  Result<bool> disable_check = GetFlag(list, "disableCheck");
  if (!disable_check.ok()) return disable_check.status();
  config.version = std::move(*version);
  config.name = std::move(*name);
  config.disable_check = *disable_check;
  json plugins = json::array();
  if (Member(list, "plugins") == nullptr) {
    plugins.push_back(std::move(list));
  } else {
    plugins = std::move(list["plugins"]);
  }
  if (!plugins.is_array()) return Bad("\"plugins\" is no array");
  if (plugins.empty() || plugins.size() > kMaxPlugins) {
    return Bad("\"plugins\" has none, or more than 64");
  }
  for (json& object : plugins) {
    Result<CniPlugin> plugin = ParsePlugin(std::move(object));
    if (!plugin.ok()) return plugin.status();
    config.plugins.push_back(std::move(*plugin));
  }
  return config;
}

bool CniDirectory::Look(const std::string& path, Mark* mark) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return false;
  *mark = {info.st_dev, info.st_ino, info.st_size,
           int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
  return true;
}

Result<std::shared_ptr<const CniConfig>> CniDirectory::Get() {
  const auto none = [&](const std::string& why) {
    return Status(EHOSTUNREACH,
                  "no network configuration: " + why +
                      "; write one, name another directory (--cni-conf), or start the node "
                      "without: usetl up --cri --no-network");
  };
  const std::lock_guard lock(mutex_);
  Mark directory, file;
  if (!Look(path_, &directory)) return none(Status::Errno(path_).message());
  if (config_ != nullptr && directory == directory_mark_ && Look(file_, &file) &&
      file == file_mark_) {
    return config_;
  }
  config_ = nullptr;
  const Result<std::string> first = FirstFile(path_);
  if (!first.ok()) return none(first.status().message());
  if (first->empty()) return none(path_ + " has no *.conflist, *.conf or *.json");
  file_ = path_ + "/" + *first;
  const int64_t now = Now();
  if (!Look(file_, &file)) return none(Status::Errno(file_).message());
  const Result<std::string> text = ReadText(file_);
  if (!text.ok()) return none(file_ + ": " + text.status().message());
  Result<CniConfig> config = ParseCniConfig(*text);
  if (!config.ok()) return none(file_ + ": " + config.status().message());
  auto shared = std::make_shared<const CniConfig>(std::move(*config));
  directory_mark_ = directory;
  file_mark_ = file;
  if (now - std::max(file.modified, directory.modified) > kYoung) config_ = shared;
  return std::shared_ptr<const CniConfig>(shared);
}

}  // namespace usetl::cri
