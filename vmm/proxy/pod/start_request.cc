#include "vmm/proxy/pod/start_request.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <limits>

#include "vmm/abi/control.h"
#include "vmm/abi/file_table.h"
#include "vmm/base/json_text.h"
#include "vmm/proxy/pod/protocol.h"

namespace usetl::pod {
namespace {

using nlohmann::json;

constexpr size_t kMaxText = 16 << 20;
constexpr size_t kMaxItems = 100'000;  // of any list
constexpr size_t kMaxPath = 4095;

// Takes members out of an object and keeps the first complaint.
class Members {
 public:
  Members(const json& object, const char* where) : object_(object), where_(where) {}

  std::string Text(const char* key) {
    const json* value = Member(object_, key);
    if (value == nullptr) return {};
    if (!value->is_string()) return Complain(key, "text");
    const auto& text = value->get_ref<const std::string&>();
    return text.find('\0') == text.npos ? text : Complain(key, "text without zeros");
  }
  std::string Path(const char* key) {
    std::string path = Text(key);
    if (path.empty() || path[0] != '/' || path.size() > kMaxPath) Complain(key, "an absolute path");
    return path;
  }
  template <typename T>
  T Number(const char* key, T fallback) {
    const json* value = Member(object_, key);
    if (value == nullptr) return fallback;
    if (value->is_number_unsigned()) {
      const auto number = value->get<uint64_t>();
      if (number <= std::numeric_limits<T>::max()) return static_cast<T>(number);
    }
    Complain(key, "a number within its range");
    return fallback;
  }
  bool Flag(const char* key) {
    const json* value = Member(object_, key);
    if (value == nullptr) return false;
    if (value->is_boolean()) return value->get<bool>();
    Complain(key, "true or false");
    return false;
  }
  uint16_t Mode() {
    const auto mode = Number<uint16_t>("mode", 0644);
    if (mode > 07777) Complain("mode", "permission bits");
    return mode;
  }
  // Calls `each` for the items of a list that may be missing.
  template <typename Each>
  void List(const char* key, Each each) {
    const json* value = Member(object_, key);
    if (value == nullptr) return;
    if (!value->is_array() || value->size() > kMaxItems) {
      Complain(key, "a list");
      return;
    }
    for (const json& item : *value) {
      each(item);
      if (!status_.ok()) return;
    }
  }
  // The same for objects.
  template <typename Each>
  void Objects(const char* key, Each each) {
    List(key, [&](const json& item) {
      if (!item.is_object()) {
        Complain(key, "a list of objects");
        return;
      }
      Members members(item, key);
      each(&members);
      if (!members.status_.ok()) status_ = members.status_;
    });
  }
  void Texts(const char* key, std::vector<std::string>* to) {
    List(key, [&](const json& item) {
      const json holder = {{key, item}};
      Members one(holder, where_);
      if (item.is_null()) one.Complain(key, "a list of texts");
      to->push_back(one.Text(key));
      if (!one.status_.ok()) status_ = one.status_;
    });
  }
  void Variables(const char* key, std::map<std::string, std::string>* to) {
    const json* value = Member(object_, key);
    if (value == nullptr) return;
    if (!value->is_object()) {
      Complain(key, "an object");
      return;
    }
    Members members(*value, key);
    for (const auto& [name, item] : value->items()) {
      if (name.empty() || name.find('=') != name.npos || name.find('\0') != name.npos ||
          item.is_null()) {
        Complain(key, "an object of names and texts");
      }
      (*to)[name] = members.Text(name.c_str());
    }
    if (!members.status_.ok()) status_ = members.status_;
  }
  std::string Complain(const std::string& key, const char* wanted) {
    if (status_.ok()) {
      status_ = Status(EINVAL,
                       std::string("the container's ") + where_ + ": " + key + ": want " + wanted);
    }
    return {};
  }
  const Status& status() const { return status_; }

 private:
  const json& object_;
  const char* where_;
  Status status_;
};

Result<std::string> ReadText(int fd, uint32_t size) {
  std::string text(size, '\0');
  struct stat info;
  if (fstat(fd, &info) != 0) return Status::Errno("the start of a container");
  if (!S_ISREG(info.st_mode)) return Status(EPROTO, "the text of a start is no file");
  for (size_t done = 0; done < size;) {
    const ssize_t count = pread(fd, text.data() + done, size - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Status::Errno("reading the start of a container");
    if (count == 0) return Status(EPROTO, "the text of a start is too short");
    done += static_cast<size_t>(count);
  }
  return text;
}

void ReadFiles(Members* members, StartRequest* request) {
  members->Objects("files", [&](Members* file) {
    request->files.push_back({file->Path("path"), file->Mode(), file->Number<uint64_t>("offset", 0),
                              file->Number<uint64_t>("size", 0),
                              file->Number<uint32_t>("mount", 0)});
  });
  members->Objects("directories", [&](Members* directory) {
    request->directories.push_back(
        {directory->Path("path"), directory->Mode(), directory->Number<uint32_t>("mount", 0)});
  });
  members->Objects("links", [&](Members* link) {
    request->links.push_back({link->Path("path"), link->Text("target")});
  });
}

Status Parse(std::string_view text, StartRequest* request) {
  Result<json> parsed = ParseJson(text, "the start of a container");
  if (!parsed.ok()) return parsed.status();
  if (!parsed->is_object()) return Status(EINVAL, "the start of a container is no object");
  Members members(*parsed, "start");
  request->id = members.Text("id");
  request->runtime = members.Text("runtime");
  request->tenant = members.Text("tenant");
  request->memory = members.Number<uint64_t>("memory", 0);
  request->mode = members.Text("mode");
  request->path = members.Path("path");
  request->target = members.Text("target");
  request->cwd = members.Text("cwd");
  request->hostname = members.Text("hostname");
  members.Texts("argv", &request->arguments);
  members.Texts("allow", &request->allow);
  request->network = members.Flag("network");
  members.Variables("env", &request->environment);
  members.List("ports", [&](const json& item) {
    if (item.is_number_unsigned() && item > 0 && item <= 65535) {
      request->ports.push_back(item.get<uint16_t>());
    } else {
      members.Complain("ports", "numbers from 1 to 65535");
    }
  });
  ReadFiles(&members, request);
  request->timeout_ms = members.Number<uint32_t>("timeout_ms", 0);
  request->start_timeout_ms = members.Number("start_timeout_ms", request->start_timeout_ms);
  request->read_only_root = members.Flag("read_only_root");
  if (request->tenant.empty()) members.Complain("tenant", "a name");
  if (request->runtime.empty()) members.Complain("runtime", "a name");
  if (request->mode != "http" && request->mode != "script" && request->mode != "auto") {
    members.Complain("mode", "http, script or auto");
  }
  return members.status();
}

}  // namespace

Result<StartRequest> ReadStart(ipc::Message message) {
  // Log, contents and text beside the two lists.
  static_assert(abi::kMaxImagePacks + abi::kMaxMounts + 3 <= ipc::kMaxDescriptors);
  const Status bad(EPROTO, "a container's start: record and descriptors do not match");
  StartRecord record;
  if (message.bytes.size() < sizeof record) return bad;
  std::memcpy(&record, message.bytes.data(), sizeof record);
  const size_t inside = message.bytes.size() - sizeof record;
  const bool in_file = inside == 0 && record.text_size != 0;
  if (!in_file && inside != record.text_size) return bad;
  if (record.has_log > 1 || record.has_contents > 1 || record.packs > abi::kMaxImagePacks ||
      record.mounted_files > abi::kMaxMounts || record.text_size > kMaxText ||
      message.fds.size() !=
          record.has_log + record.packs + record.has_contents + record.mounted_files + in_file) {
    return bad;
  }
  StartRequest request;
  size_t next = 0;
  if (record.has_log != 0) request.log = std::move(message.fds[next++]);
  while (request.packs.size() < record.packs)
    request.packs.push_back(std::move(message.fds[next++]));
  if (record.has_contents != 0) request.contents = std::move(message.fds[next++]);
  while (request.mounted_files.size() < record.mounted_files) {
    Fd& file = message.fds[next++];
    const int flags = fcntl(file.get(), F_GETFL);
    struct stat info;
    if (flags < 0 || (flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_RDONLY ||
        fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
      return Status(EPROTO, "a mounted file is not open for writing");
    }
    request.mounted_files.push_back(std::move(file));
  }
  Result<std::string> text =
      in_file ? ReadText(message.fds[next].get(), record.text_size)
              : std::string(message.bytes.begin() + sizeof record, message.bytes.end());
  if (!text.ok()) return text.status();
  USETL_RETURN_IF_ERROR(Parse(*text, &request));
  // Before the first line: a log without O_APPEND would be overwritten after each rotation.
  if (request.log.ok()) {
    const int flags = fcntl(request.log.get(), F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || (flags & O_APPEND) == 0) {
      return Status(EPROTO, "the container's log is not open for appending");
    }
  }
  return request;
}

Result<StartRequest> ReadMountUpdate(uint32_t json_size, std::vector<Fd> fds) {
  if (json_size > kMaxText || fds.empty() || fds.size() > 2) {
    return Status(EPROTO, "an update of a mount: record and descriptors do not match");
  }
  Result<std::string> text = ReadText(fds[0].get(), json_size);
  if (!text.ok()) return text.status();
  Result<json> parsed = ParseJson(*text, "an update of a mount");
  if (!parsed.ok()) return parsed.status();
  if (!parsed->is_object()) return Status(EINVAL, "an update of a mount is no object");
  StartRequest request;
  if (fds.size() == 2) request.contents = std::move(fds[1]);
  Members members(*parsed, "mount");
  request.path = members.Path("path");
  ReadFiles(&members, &request);
  if (!members.status().ok()) return members.status();
  return request;
}

std::string LoadRecord(const StartRequest& request) {
  // `serves`: a handler is to answer HTTP requests, also when only the file says what it is.
  json load = {{"path", request.path},
               {"mode", request.mode},
               {"serves", true},
               {"argv", request.arguments}};
  load["env"] = request.environment;
  if (!request.target.empty()) load["target"] = request.target;
  if (!request.cwd.empty()) load["cwd"] = request.cwd;
  json mounts = json::array();
  for (const StartRequest::Directory& directory : request.directories) {
    if (directory.mount != 0) mounts.push_back(directory.path);
  }
  for (const StartRequest::File& file : request.files) {
    if (file.mount != 0) mounts.push_back(file.path);
  }
  if (!mounts.empty()) load["mounts"] = std::move(mounts);
  return load.dump();
}

}  // namespace usetl::pod
