// An archive of images as the source of an import.
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "cri/image/digest.h"
#include "cri/image/import_source.h"

namespace usetl::image {
namespace {

constexpr size_t kReadSize = 256 << 10;
constexpr size_t kMaxFiles = 4096;
constexpr size_t kMaxPath = 4096;

struct CloseArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};

// `path`, relative to the directory `base`, as a name: no "." and no empty parts. False when it
// leads out of the archive.
bool Normalise(std::string_view base, std::string_view path, std::string* name) {
  if (base.size() + path.size() > kMaxPath) return false;
  std::vector<std::string_view> parts;
  for (std::string_view rest : {base, path}) {
    while (!rest.empty()) {
      const size_t slash = std::min(rest.find('/'), rest.size());
      const std::string_view part = rest.substr(0, slash);
      rest.remove_prefix(std::min(slash + 1, rest.size()));
      if (part == "..") {
        if (parts.empty()) return false;
        parts.pop_back();
      } else if (!part.empty() && part != ".") {
        parts.push_back(part);
      }
    }
  }
  name->clear();
  for (std::string_view part : parts) name->append(name->empty() ? "" : "/").append(part);
  return true;
}

class ArchiveSource : public ImportSource {
 public:
  ArchiveSource(const ContentStore& store, uint64_t max_bytes)
      : store_(store), bytes_left_(max_bytes) {}
  ~ArchiveSource() override {
    for (const auto& [name, file] : files_) {
      if (!file.path.empty()) unlink(file.path.c_str());
    }
  }

  Status Extract(const std::string& path, const Cancelled& cancelled) {
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.ok()) return Status::Errno("open");
    archive_.reset(archive_read_new());
    if (!archive_) return Status(ENOMEM, "no memory for reading an archive");
    archive_read_support_filter_gzip(archive_.get());
    archive_read_support_filter_zstd(archive_.get());
    archive_read_support_filter_xz(archive_.get());
    archive_read_support_format_tar(archive_.get());
    if (archive_read_open_fd(archive_.get(), fd.get(), kReadSize) != ARCHIVE_OK) return Failure();
    while (true) {
      archive_entry* entry;
      const int result = archive_read_next_header(archive_.get(), &entry);
      if (result == ARCHIVE_EOF) break;
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return Failure();
      USETL_RETURN_IF_ERROR(Add(entry, cancelled));
    }
    archive_.reset();
    return Status();
  }

  Result<std::string> Document(const std::string& name) override {
    const Result<File*> file = Find(name);
    if (!file.ok()) return file.status();
    if ((*file)->path.empty()) return store_.ReadDocument((*file)->content.digest);
    Result<std::string> text = ReadFile((*file)->path, kMaxDocument);
    if (text.status().code() == EFBIG) return Status(EBADMSG, name + " is larger than 4 MB");
    return text;
  }

  Result<Descriptor> Describe(const std::string& name) override {
    const Result<File*> file = Find(name);
    if (!file.ok()) return file.status();
    return (*file)->content;
  }

  Status PutBlob(const std::string& name, const Descriptor& descriptor) override {
    const Result<File*> found = Find(name);
    if (!found.ok()) return found.status();
    File& file = **found;
    if (file.content.digest != descriptor.digest || file.content.size != descriptor.size) {
      return Status(EBADMSG, name + " is " + std::to_string(file.content.size) + " bytes of " +
                                 file.content.digest);
    }
    if (store_.HasBlob(descriptor)) return Status();
    const Fd fd(open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.ok()) return Status::Errno("open " + file.path);
    USETL_RETURN_IF_ERROR(PublishFile(fd.get(), file.path, store_.BlobPath(descriptor.digest)));
    file.path.clear();
    return Status();
  }

 private:
  struct File {
    std::string path;  // in the ingest directory; empty: it became a blob
    Descriptor content;
  };

  Status Failure() const {
    const char* text = archive_error_string(archive_.get());
    return Status(EBADMSG, text != nullptr ? text : "malformed");
  }

  Status Add(archive_entry* entry, const Cancelled& cancelled) {
    const char* path = archive_entry_pathname(entry);
    std::string name;
    if (path == nullptr || !Normalise("", path, &name)) {
      return Status(EBADMSG, "holds a name that leads out of it");
    }
    const mode_t type = archive_entry_filetype(entry);
    const char* hard = archive_entry_hardlink(entry);
    const char* soft = S_ISLNK(type) ? archive_entry_symlink(entry) : nullptr;
    if (hard == nullptr && soft == nullptr && !S_ISREG(type)) return Status();
    if (files_.size() + links_.size() >= kMaxFiles) return Status(EBADMSG, "holds too many files");
    if (hard == nullptr && soft == nullptr) return Unpack(name, cancelled);
    // docker links layers that images of one archive share.
    const size_t slash = name.rfind('/');
    const std::string base = slash == std::string::npos ? "" : name.substr(0, slash);
    std::string target;
    if (!Normalise(hard != nullptr ? "" : base, hard != nullptr ? hard : soft, &target)) {
      return Status(EBADMSG, "holds a link that leads out of it");
    }
    links_[name] = target;
    return Status();
  }

  Status Unpack(const std::string& name, const Cancelled& cancelled) {
    File& file = files_[name];
    if (!file.path.empty()) return Status(EBADMSG, "holds " + name + " twice");
    std::string path = store_.ingest() + "/import.XXXXXX";
    const Fd fd(mkostemp(path.data(), O_CLOEXEC));
    if (!fd.ok()) return Status::Errno("create " + path);
    file.path = path;
    Sha256 sha;
    std::vector<char> bytes(kReadSize);
    while (true) {
      const la_ssize_t n = archive_read_data(archive_.get(), bytes.data(), bytes.size());
      if (n < 0) return Failure();
      if (n == 0) break;
      if (static_cast<uint64_t>(n) > bytes_left_) {
        return Status(EBADMSG, "is larger than the limit of images");
      }
      if (IsCancelled(cancelled)) return CancelledStatus();
      bytes_left_ -= n;
      file.content.size += n;
      sha.Update(bytes.data(), n);
      USETL_RETURN_IF_ERROR(WriteAll(fd.get(), {bytes.data(), static_cast<size_t>(n)}));
    }
    file.content.digest = sha.Finish();
    return Status();
  }

  Result<File*> Find(const std::string& name) {
    std::string at;
    if (!Normalise("", name, &at)) return Status(EBADMSG, "a name that leads out of the archive");
    const auto link = links_.find(at);
    const auto file = files_.find(link == links_.end() ? at : link->second);
    if (file == files_.end()) return Status(ENOENT, "it holds no " + name);
    return &file->second;
  }

  const ContentStore& store_;
  uint64_t bytes_left_;
  std::unique_ptr<archive, CloseArchive> archive_;
  std::map<std::string, File> files_;
  std::map<std::string, std::string> links_;  // to names
};

}  // namespace

Result<std::unique_ptr<ImportSource>> OpenArchive(const ContentStore& store,
                                                  const std::string& path, uint64_t max_bytes,
                                                  const Cancelled& cancelled) {
  auto source = std::make_unique<ArchiveSource>(store, max_bytes);
  if (Status status = source->Extract(path, cancelled); !status.ok()) return status;
  return std::unique_ptr<ImportSource>(std::move(source));
}

}  // namespace usetl::image
