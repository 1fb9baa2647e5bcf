#include "cri/container/contents.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <climits>
#include <memory>
#include <set>

#include "vmm/abi/file_table.h"

namespace usetl::cri {
namespace {

constexpr uint64_t kMaxBytes = 32 << 20;
constexpr size_t kMaxEntries = abi::kMountEntries;
constexpr int kMaxDepth = 32;
constexpr char kData[] = "..data";  // the kubelet's link to the version that counts

namespace v1 = ::runtime::v1;

std::string Clean(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

// Mounts are copied when a function starts.
Status TooMuch(const std::string& what) {
  return Status(E2BIG, "usetl: mounts hold more than " + what +
                           "; mount a part of it, or have the function's image hold the files");
}

// Empty: it is no link.
std::string LinkTarget(const Fd& directory, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t length = readlinkat(directory.get(), name.c_str(), target, sizeof target);
  return length > 0 ? std::string(target, static_cast<size_t>(length)) : "";
}

// Opens a file or directory for reading, anything else not at all: opening a device has effects,
// and the other end of a FIFO may never come. None: it is something else, or is gone.
Result<Fd> OpenPlain(int directory, const std::string& name, int flags) {
  const Fd found(openat(directory, name.c_str(), O_PATH | O_CLOEXEC | flags));
  if (!found.ok() && (flags & O_NOFOLLOW) != 0 && errno == ENOENT) return Fd();
  struct stat info;
  if (!found.ok() || fstat(found.get(), &info) != 0) return Status::Errno("open " + name);
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) return Fd();
  Fd plain(open(("/proc/self/fd/" + std::to_string(found.get())).c_str(),
                O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!plain.ok()) return Status::Errno("open " + name);
  return plain;
}

// A mount of its own over the same directory, with what is mounted within: no ".." leads out of it,
// devices in it are dead.
Result<Fd> DetachedMount(const Fd& directory, bool read_only) {
  Fd mount(static_cast<int>(syscall(
      SYS_open_tree, directory.get(), "",
      AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | static_cast<unsigned>(OPEN_TREE_CLOEXEC))));
  if (!mount.ok()) return Status::Errno("open_tree");
  mount_attr attributes{};
  attributes.attr_set =
      MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (read_only ? uint64_t{MOUNT_ATTR_RDONLY} : 0);
  if (syscall(SYS_mount_setattr, mount.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
              sizeof attributes) != 0) {
    return Status::Errno("mount_setattr");
  }
  return mount;
}

// Opened by root, for `identity`: none when that may not write to it.
Result<Fd> OpenForWriting(const Fd& file, const struct stat& info, const Identity& identity) {
  if (!identity.MayWrite(info)) return Fd();
  Fd writable(open(("/proc/self/fd/" + std::to_string(file.get())).c_str(),
                   O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (writable.ok() || errno == EROFS || errno == EPERM) return writable;
  return Status::Errno("opening it for writing");
}

class Collector {
 public:
  Collector(const v1::ContainerConfig& config, const Identity& identity) : identity_(identity) {
    for (const v1::Mount& mount : config.mounts()) paths_.insert(Clean(mount.container_path()));
  }

  Result<Contents> Finish() {
    if (size_ == 0) contents_.file.Reset();
    // Directories come first.
    for (const size_t index : writable_files_) {
      nlohmann::json& number = contents_.files[index]["mount"];
      number = number.get<size_t>() + contents_.mounted_directories.size();
    }
    return std::move(contents_);
  }

  Status Begin() {
    contents_.file = Fd(memfd_create("usetl-contents", MFD_CLOEXEC));
    return contents_.file.ok() ? Status() : Status::Errno("memfd_create");
  }

  Status AddMount(const v1::Mount& mount) {
    const std::string path = Clean(mount.container_path());
    const Result<Fd> opened = OpenPlain(AT_FDCWD, mount.host_path(), 0);
    if (opened.status().code() == ENOENT) {
      return Status(ENOENT, "usetl: the node has no " + mount.host_path() +
                                "; make it, or give the hostPath type: DirectoryOrCreate");
    }
    if (!opened.ok()) return opened.status();
    const Fd& source = *opened;
    if (!source.ok()) return Status(EINVAL, "usetl: neither file nor directory");
    struct stat info;
    if (fstat(source.get(), &info) != 0) return Status::Errno("stat " + mount.host_path());
    read_only_ = mount.readonly();
    const bool directory = S_ISDIR(info.st_mode);
    // What the kubelet exchanges as a whole is copied, and followed by MountWatch.
    if (directory && !(read_only_ && !LinkTarget(source, kData).empty())) {
      return AddLive(source, info.st_mode, path);
    }
    nlohmann::json& list = directory ? contents_.directories : contents_.files;
    const size_t index = list.size();
    USETL_RETURN_IF_ERROR(Add(source, path, 0));
    list[index]["mount"] = abi::kReadOnlyMount;
    if (mount.readonly()) return Status();
    Result<Fd> writable = OpenForWriting(source, info, identity_);
    if (!writable.ok()) return writable.status();
    if (!writable->ok()) return Status();
    contents_.writable_files.push_back(std::move(*writable));
    list[index]["mount"] = contents_.writable_files.size();
    writable_files_.push_back(index);
    return CheckNumber();
  }

  Status AddImageVolume(const v1::Mount& mount, const VolumeImages& images) {
    const auto image = images.find(mount.image().image_ref());
    if (image == images.end()) return Status(ENOENT, "the image was removed");
    const Result<ImageVolume> volume = ImageVolume::Open(*image->second, mount.image_sub_path());
    if (!volume.ok()) return volume.status();
    nlohmann::json& list = volume->top().is_directory() ? contents_.directories : contents_.files;
    const size_t index = list.size();
    USETL_RETURN_IF_ERROR(AddEntryOf(volume->top(), Clean(mount.container_path())));
    list[index]["mount"] = abi::kReadOnlyMount;
    return Status();
  }

  Status AddPodFile(const PodFile& file) {
    for (const std::string& mount : paths_) {
      const std::string below = mount == "/" ? mount : mount + "/";
      if (mount == file.path || file.path.starts_with(below)) return Status();
    }
    const uint64_t begin = size_;
    USETL_RETURN_IF_ERROR(Append(file.text.data(), file.text.size(), file.path));
    AddEntry(file.path, 0644, begin);
    return Status();
  }

 private:
  // A directory that the container sees as it is at any time.
  Status AddLive(const Fd& directory, mode_t mode, const std::string& path) {
    Result<Fd> mount = DetachedMount(directory, read_only_);
    if (!mount.ok()) return mount.status();
    if (++entries_ > kMaxEntries) return TooMuch(std::to_string(kMaxEntries) + " files");
    contents_.mounted_directories.push_back(std::move(*mount));
    const size_t number = contents_.mounted_directories.size();
    contents_.directories.push_back({{"path", path},
                                     {"mode", mode & 07777},
                                     {"mount", number | (read_only_ ? abi::kReadOnlyBit : 0)}});
    return CheckNumber();
  }

  Status CheckNumber() const {
    if (contents_.mounted_directories.size() + contents_.writable_files.size() <= abi::kMaxMounts) {
      return Status();
    }
    return Status(E2BIG, "usetl: more than " + std::to_string(abi::kMaxMounts) +
                             " mounts of directories and of files to write");
  }

  // `fd`: a file or directory of the host, which is `path` in the container.
  Status Add(const Fd& fd, const std::string& path, int depth) {
    struct stat info;
    if (fstat(fd.get(), &info) != 0) return Status::Errno("stat " + path);
    if (++entries_ > kMaxEntries) return TooMuch(std::to_string(kMaxEntries) + " files");
    if (S_ISREG(info.st_mode)) return AddFile(fd, path, info.st_mode);
    if (depth > kMaxDepth) return Status(E2BIG, "usetl: mount " + path + ": too deep");
    return AddDirectory(fd, path, info.st_mode, depth);
  }

  Status AddFile(const Fd& fd, const std::string& path, mode_t mode) {
    std::array<char, 64 << 10> buffer;
    const uint64_t begin = size_;
    for (;;) {
      const ssize_t count = read(fd.get(), buffer.data(), buffer.size());
      if (count < 0) return Status::Errno("read mount " + path);
      if (count == 0) break;
      USETL_RETURN_IF_ERROR(Append(buffer.data(), static_cast<size_t>(count), path));
    }
    AddEntry(path, mode, begin);
    return Status();
  }

  Status Append(const char* bytes, size_t count, const std::string& path) {
    if (size_ + count > kMaxBytes) return TooMuch("32 MB");
    if (write(contents_.file.get(), bytes, count) != static_cast<ssize_t>(count)) {
      return Status::Errno("copying mount " + path);
    }
    size_ += count;
    return Status();
  }

  // `entry`: a file, link or directory of an image, which is `path` in the container.
  Status AddEntryOf(const pack::MergedEntry& entry, const std::string& path) {
    if (++entries_ > kMaxEntries) return TooMuch(std::to_string(kMaxEntries) + " files");
    // Bounds the depth too.
    if (path.size() > abi::kMaxHostName) return Status(E2BIG, path + ": the path is too long");
    if (entry.is_link()) {
      contents_.links.push_back({{"path", path}, {"target", std::string(entry.content())}});
      return Status();
    }
    if (!entry.is_directory()) {
      const uint64_t begin = size_;
      USETL_RETURN_IF_ERROR(Append(entry.content().data(), entry.content().size(), path));
      AddEntry(path, entry.mode(), begin);
      return Status();
    }
    contents_.directories.push_back({{"path", path}, {"mode", entry.mode() & 07777}});
    for (const auto& [name, child] : entry.children()) {
      const std::string below = path + "/" + std::string(name);
      if (paths_.contains(below)) continue;  // another mount lies over it
      USETL_RETURN_IF_ERROR(AddEntryOf(child, below));
    }
    return Status();
  }

  // A file whose bytes are the last that were appended, from `begin` on.
  void AddEntry(const std::string& path, mode_t mode, uint64_t begin) {
    contents_.files.push_back(
        {{"path", path}, {"mode", mode & 07777}, {"offset", begin}, {"size", size_ - begin}});
  }

  Status AddDirectory(const Fd& fd, const std::string& path, mode_t mode, int depth) {
    contents_.directories.push_back({{"path", path}, {"mode", mode & 07777}});
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(
        fdopendir(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)), closedir);
    if (directory == nullptr) return Status::Errno("read mount " + path);
    // Of what the kubelet keeps: other versions are half written or about to go.
    const std::string version = depth == 0 && read_only_ ? LinkTarget(fd, kData) : "";
    while (const dirent* entry = readdir(directory.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (!version.empty() && name.starts_with("..") && name != kData && name != version) continue;
      if (paths_.contains(path + "/" + name)) continue;  // another mount lies over it
      USETL_RETURN_IF_ERROR(AddChild(fd, name, path + "/" + name, depth));
    }
    return Status();
  }

  Status AddChild(const Fd& parent, const std::string& name, const std::string& path, int depth) {
    const std::string target = LinkTarget(parent, name);
    if (!target.empty()) {
      if (++entries_ > kMaxEntries) return TooMuch(std::to_string(kMaxEntries) + " files");
      contents_.links.push_back({{"path", path}, {"target", target}});
      return Status();
    }
    // What has gone meanwhile, or is of no use in a USF, is left out.
    const Result<Fd> child = OpenPlain(parent.get(), name, O_NOFOLLOW);
    if (!child.ok()) return child.status().Annotate("mount " + path);
    if (!child->ok()) return Status();
    return Add(*child, path, depth + 1);
  }

  const Identity& identity_;
  std::set<std::string, std::less<>> paths_;  // of all mounts
  std::vector<size_t> writable_files_;        // among contents_.files
  bool read_only_ = false;                    // the mount that is being added
  Contents contents_;
  uint64_t size_ = 0;
  size_t entries_ = 0;
};

}  // namespace

std::vector<const v1::Mount*> MountsThatShow(const v1::ContainerConfig& config) {
  std::vector<const v1::Mount*> mounts;
  std::set<std::string> paths;
  for (int i = config.mounts_size() - 1; i >= 0; --i) {
    const v1::Mount& mount = config.mounts(i);
    if (paths.insert(Clean(mount.container_path())).second) mounts.push_back(&mount);
  }
  std::ranges::reverse(mounts);
  std::ranges::stable_sort(mounts, {}, [](const v1::Mount* mount) {
    return std::ranges::count(Clean(mount->container_path()), '/');
  });
  return mounts;
}

Result<Contents> CollectContents(const ContainerRecord& container,
                                 const std::vector<PodFile>& pod_files, const Identity& identity,
                                 const VolumeImages& volumes) {
  Collector collector(container.config(), identity);
  USETL_RETURN_IF_ERROR(collector.Begin());
  for (const v1::Mount* mount : MountsThatShow(container.config())) {
    const Status status = IsImageVolume(*mount) ? collector.AddImageVolume(*mount, volumes)
                                                : collector.AddMount(*mount);
    if (!status.ok()) return status.Annotate("mount " + mount->container_path());
  }
  for (const PodFile& file : pod_files) USETL_RETURN_IF_ERROR(collector.AddPodFile(file));
  return collector.Finish();
}

Result<Contents> CollectMount(const v1::ContainerConfig& config, const v1::Mount& mount) {
  const Identity nobody;
  Collector collector(config, nobody);
  USETL_RETURN_IF_ERROR(collector.Begin());
  const Status status = collector.AddMount(mount);
  if (!status.ok()) return status.Annotate("mount " + mount.container_path());
  return collector.Finish();
}

}  // namespace usetl::cri
