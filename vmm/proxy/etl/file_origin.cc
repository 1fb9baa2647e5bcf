#include "vmm/proxy/etl/file_origin.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

namespace usetl::etl {
namespace {

constexpr size_t kMaxPath = 4095;
constexpr std::string_view kScheme = "file:///";
constexpr std::string_view kTemporary = ".usetl-";

Fd OpenBeneath(int directory, const char* path, uint64_t flags, uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve;
  return Fd(static_cast<int>(syscall(SYS_openat2, directory, path, &how, sizeof how)));
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Percent-decodes; false for bad escapes, and for a zero or a slash that hides in one.
bool Decode(std::string_view text, std::string* decoded) {
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      if (c == '\0' || c == '/') return false;
      i += 2;
    } else if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '?' || c == '#') {
      return false;
    }
    *decoded += c;
  }
  return true;
}

// The components between slashes. Empty: no name, or one that writers must not use.
std::vector<std::string> Components(const std::string& path) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    parts.push_back(path.substr(begin, end - begin));
    const std::string& part = parts.back();
    if (part.empty() || part == "." || part == ".." || part.starts_with(kTemporary)) return {};
    begin = end + 1;
  }
  return parts;
}

// The directory of an object that is to be written, never through a link.
Result<Fd> OpenParent(int root, const std::vector<std::string>& parts, bool create) {
  Fd directory = OpenBeneath(root, ".", O_PATH | O_DIRECTORY, 0);
  for (size_t i = 0; directory.ok() && i + 1 < parts.size(); ++i) {
    const char* name = parts[i].c_str();
    if (create && mkdirat(directory.get(), name, 0755) != 0 && errno != EEXIST) {
      return Status::Errno("make directory");
    }
    directory =
        OpenBeneath(directory.get(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
  }
  if (!directory.ok()) return Status::Errno("open directory");
  return directory;
}

}  // namespace

Status ObjectStore::Add(std::string_view name, const std::string& directory, bool writable) {
  const bool plain = !name.empty() && name != "." && name != ".." &&
                     std::all_of(name.begin(), name.end(), [](char c) {
                       return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                              (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
                     });
  if (!plain || roots_.contains(name)) {
    return Status(EINVAL, "objects " + std::string(name) + ": want a new name of [A-Za-z0-9._-]");
  }
  auto fd = std::make_shared<Fd>(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd->ok()) return Status::Errno("objects in " + directory);
  roots_.emplace(name, Root{std::move(fd), writable});
  return Status();
}

Result<ObjectStore::Place> ObjectStore::Locate(std::string_view url) const {
  const Status bad(EINVAL, "URL: want file:///NAME/PATH");
  if (!url.starts_with(kScheme)) return bad;
  url.remove_prefix(kScheme.size());
  const size_t slash = url.find('/');
  if (slash == url.npos || url.size() > kMaxPath) return bad;
  const auto root = roots_.find(url.substr(0, slash));
  if (root == roots_.end()) {
    return Status(EPERM, "no objects are called " + std::string(url.substr(0, slash)));
  }
  Place place{&root->second, {}};
  if (!Decode(url.substr(slash + 1), &place.path) || place.path.empty()) return bad;
  return place;
}

Result<ObjectReader> ObjectStore::Open(std::string_view url) const {
  Result<Place> place = Locate(url);
  if (!place.ok()) return place.status();
  ObjectReader reader;
  // Not blocking, lest somebody put a FIFO there.
  reader.fd = OpenBeneath(place->root->directory->get(), place->path.c_str(),
                          O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
  if (!reader.fd.ok()) return Status::Errno("object " + place->path);
  struct stat info;
  if (fstat(reader.fd.get(), &info) != 0) return Status::Errno("object " + place->path);
  if (!S_ISREG(info.st_mode)) return Status(EISDIR, "object " + place->path + ": not a file");
  reader.size = static_cast<uint64_t>(info.st_size);
  return reader;
}

Result<ObjectWriter> ObjectStore::Create(std::string_view url) const {
  Result<Place> place = Locate(url);
  if (!place.ok()) return place.status();
  if (!place->root->writable) return Status(EROFS, "object " + place->path + ": read-only");
  const std::vector<std::string> parts = Components(place->path);
  if (parts.empty()) return Status(EINVAL, "URL: not a name for an object");
  Result<Fd> directory = OpenParent(place->root->directory->get(), parts, /*create=*/true);
  if (!directory.ok()) return directory.status();
  struct stat info;
  if (fstatat(directory->get(), parts.back().c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISDIR(info.st_mode)) {
    return Status(EISDIR, "object " + place->path + ": a directory");
  }
  uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) return Status::Errno("getrandom");
  char temporary[40];
  std::snprintf(temporary, sizeof temporary, "%s%016llx", kTemporary.data(),
                static_cast<unsigned long long>(random));
  Fd fd(openat(directory->get(), temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
               0644));
  if (!fd.ok()) return Status::Errno("object " + place->path);
  return ObjectWriter(std::move(*directory), std::move(fd), temporary, parts.back());
}

Status ObjectStore::Remove(std::string_view url) const {
  Result<Place> place = Locate(url);
  if (!place.ok()) return place.status();
  if (!place->root->writable) return Status(EROFS, "object " + place->path + ": read-only");
  const std::vector<std::string> parts = Components(place->path);
  if (parts.empty()) return Status(EINVAL, "URL: not a name for an object");
  Result<Fd> directory = OpenParent(place->root->directory->get(), parts, /*create=*/false);
  if (!directory.ok()) return directory.status();
  if (unlinkat(directory->get(), parts.back().c_str(), 0) != 0) {
    return Status::Errno("object " + place->path);
  }
  return Status();
}

ObjectWriter::~ObjectWriter() {
  if (fd_.ok()) unlinkat(directory_.get(), temporary_.c_str(), 0);
}

Status ObjectWriter::Write(const void* bytes, size_t size) {
  const auto* at = static_cast<const char*>(bytes);
  while (size != 0) {
    const ssize_t n = write(fd_.get(), at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::Errno("object " + name_);
    at += n;
    size -= static_cast<size_t>(n);
  }
  return Status();
}

Result<bool> ObjectWriter::Commit() {
  struct stat info;
  const bool fresh = fstatat(directory_.get(), name_.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0;
  if (renameat(directory_.get(), temporary_.c_str(), directory_.get(), name_.c_str()) != 0) {
    return Status::Errno("object " + name_);
  }
  fd_.Reset();
  return fresh;
}

}  // namespace usetl::etl
