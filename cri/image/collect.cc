// The collection of what no image has any more.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <set>

#include "cri/image/content_store.h"
#include "cri/image/digest.h"

namespace usetl::image {
namespace {

// How long a broken download is kept for whoever tries again.
constexpr time_t kKeepIngestSeconds = 24 * 3600;
// A lease names a manifest, a config and layers.
constexpr size_t kMaxLease = (kMaxLayers + 2) * 72;

Result<std::vector<std::string>> NamesIn(const std::string& directory) {
  DIR* stream = opendir(directory.c_str());
  if (stream == nullptr) return Status::Errno("open directory " + directory);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  const int error = errno;
  closedir(stream);
  if (error != 0) return Status(error, "read directory " + directory);
  return names;
}

// Whether nobody holds the lock of `path`.
bool IsUnused(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return fd.ok() && flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
}

class Collector {
 public:
  explicit Collector(const ContentStore& store) : store_(store) {}

  Status Run() {
    USETL_RETURN_IF_ERROR(KeepLeased());
    USETL_RETURN_IF_ERROR(KeepImages());
    USETL_RETURN_IF_ERROR(Sweep(store_.directory() + "/blobs/sha256"));
    USETL_RETURN_IF_ERROR(Sweep(store_.directory() + "/packs"));
    return SweepIngest();
  }
  const CollectReport& report() const { return report_; }

 private:
  Status KeepLeased() {
    const std::string directory = store_.directory() + "/leases/";
    const Result<std::vector<std::string>> names = NamesIn(directory);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      const std::string path = directory + name;
      const Result<std::string> text = ReadFile(path, kMaxLease);
      if (!text.ok() && text.status().code() == ENOENT) continue;  // ended just now
      if (!text.ok()) return text.status();
      if (IsUnused(path)) {
        unlink(path.c_str());
        continue;
      }
      for (size_t at = 0; at + 72 <= text->size(); at += 72) {
        const std::string_view digest = std::string_view(*text).substr(at, 71);
        if (!IsDigest(digest)) return Status(EBADMSG, path + " is damaged");
        keep_.insert(HexOf(digest));
      }
    }
    return Status();
  }

  Status KeepImages() {
    const Result<std::vector<IndexEntry>> entries = store_.ReadIndex();
    if (!entries.ok()) return entries.status();
    for (const IndexEntry& entry : *entries) {
      if (!read_.insert(entry.manifest.digest).second) continue;  // another name of the same
      keep_.insert(HexOf(entry.manifest.digest));
      const Result<std::string> text = store_.ReadDocument(entry.manifest.digest);
      if (!text.ok()) {
        // A damaged image keeps nothing but is no reason to let the disk fill up.
        if (text.status().code() == EBADMSG || text.status().code() == ENOENT) continue;
        return text.status();
      }
      const Result<Manifest> manifest = ParseManifest(*text);
      if (!manifest.ok()) continue;
      keep_.insert(HexOf(manifest->config.digest));
      for (const Descriptor& layer : manifest->layers) keep_.insert(HexOf(layer.digest));
    }
    return Status();
  }

  // What files are called by comes first in their name.
  Status Sweep(const std::string& directory) {
    const Result<std::vector<std::string>> names = NamesIn(directory);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      if (!keep_.contains(name.substr(0, name.find('.')))) {
        USETL_RETURN_IF_ERROR(Remove(directory + "/" + name));
      }
    }
    return Status();
  }

  Status SweepIngest() {
    const Result<std::vector<std::string>> names = NamesIn(store_.ingest());
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      const std::string path = store_.ingest() + "/" + name;
      struct stat info;
      if (stat(path.c_str(), &info) != 0) continue;  // finished just now
      if (time(nullptr) - info.st_mtime < kKeepIngestSeconds || !IsUnused(path)) continue;
      USETL_RETURN_IF_ERROR(Remove(path));
    }
    return Status();
  }

  Status Remove(const std::string& path) {
    struct stat info;
    if (lstat(path.c_str(), &info) != 0 || unlink(path.c_str()) != 0) {
      return errno == ENOENT ? Status() : Status::Errno("remove " + path);
    }
    ++report_.files;
    report_.bytes += info.st_size;
    return Status();
  }

  const ContentStore& store_;
  std::set<std::string> keep_;  // hex digests
  std::set<std::string> read_;  // manifests that were looked into
  CollectReport report_;
};

}  // namespace

Result<CollectReport> ContentStore::CollectGarbage() const {
  Result<Fd> lock = Lock();
  if (!lock.ok()) return lock.status();
  Collector collector(*this);
  if (Status status = collector.Run(); !status.ok()) {
    return status.Annotate("collect garbage of images");
  }
  return collector.report();
}

}  // namespace usetl::image
