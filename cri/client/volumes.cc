#include "cri/client/volumes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "vmm/base/fd.h"

namespace usetl::cri {
namespace {

using Type = PodManifest::HostPath::Type;

Status MakeEmptyDir(const std::string& path, int64_t fs_group) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return Status(error.value(), "create " + path + ": " + error.message());
  // The pod's own directory keeps other users of the host out of what lies in it.
  if (chmod(parent.c_str(), 0700) != 0) return Status::Errno("chmod " + parent.string());
  if (fs_group >= 0 && chown(path.c_str(), -1, static_cast<gid_t>(fs_group)) != 0) {
    return Status::Errno("chgrp " + path);
  }
  // After chown(2), which clears the bit that hands the group on.
  if (chmod(path.c_str(), fs_group >= 0 ? 02777 : 0777) != 0) {
    return Status::Errno("chmod " + path);
  }
  return Status();
}

Status MakeHostPath(const PodManifest::HostPath& host) {
  if (host.type == Type::kDirectoryOrCreate) {
    std::error_code error;
    std::filesystem::create_directories(host.path, error);
    if (error) return Status(error.value(), "create " + host.path + ": " + error.message());
  } else {
    const Fd file(open(host.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!file.ok()) return Status::Errno("create " + host.path);
  }
  return Status();
}

Status CheckHostPath(const PodManifest::HostPath& host) {
  if (host.type == Type::kAny) return Status();
  const bool directory = host.type == Type::kDirectory || host.type == Type::kDirectoryOrCreate;
  const bool create = host.type == Type::kDirectoryOrCreate || host.type == Type::kFileOrCreate;
  struct stat info {};
  if (stat(host.path.c_str(), &info) != 0) {
    if (errno == ENOENT && create) return MakeHostPath(host);
    if (errno != ENOENT) return Status::Errno("hostPath " + host.path);
    return Status(ENOENT, "hostPath " + host.path + " is not there; make it, or give it type: " +
                              (directory ? "DirectoryOrCreate" : "FileOrCreate"));
  }
  if (directory ? S_ISDIR(info.st_mode) : S_ISREG(info.st_mode)) return Status();
  return Status(EINVAL, "hostPath " + host.path + " is no " + (directory ? "directory" : "file") +
                            "; its type in the manifest says that it is");
}

}  // namespace

Status PrepareVolumes(const PodManifest& manifest) {
  for (const PodManifest::HostPath& host : manifest.host_paths) {
    USETL_RETURN_IF_ERROR(CheckHostPath(host));
  }
  for (const std::string& directory : manifest.directories) {
    USETL_RETURN_IF_ERROR(MakeEmptyDir(directory, manifest.fs_group));
  }
  return Status();
}

void RemoveVolumes(const PodManifest& manifest) {
  std::error_code ignored;  // somebody may have put something there
  for (const std::string& directory : manifest.directories) {
    std::filesystem::remove_all(directory, ignored);
    rmdir(std::filesystem::path(directory).parent_path().c_str());
  }
}

}  // namespace usetl::cri
