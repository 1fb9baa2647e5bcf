// An OCI layout in a directory as the source of an import.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "cri/image/import_source.h"
#include "cri/image/partial_blob.h"

namespace usetl::image {
namespace {

constexpr size_t kChunk = 1 << 20;

class DirectorySource : public ImportSource {
 public:
  DirectorySource(const ContentStore& store, std::string path, const Cancelled& cancelled)
      : store_(store), path_(std::move(path)), cancelled_(cancelled) {}

  Result<std::string> Document(const std::string& name) override {
    std::string text;
    const Status status = Read(name, [&](std::string_view bytes) {
      if (text.size() + bytes.size() > kMaxDocument) return Status(EBADMSG, name + " is too large");
      text.append(bytes);
      return Status();
    });
    if (!status.ok()) return status;
    return text;
  }

  Result<Descriptor> Describe(const std::string& name) override {
    Descriptor descriptor;
    Sha256 sha;
    const Status status = Read(name, [&](std::string_view bytes) {
      sha.Update(bytes.data(), bytes.size());
      descriptor.size += bytes.size();
      return Status();
    });
    if (!status.ok()) return status;
    descriptor.digest = sha.Finish();
    return descriptor;
  }

  Status PutBlob(const std::string& name, const Descriptor& descriptor) override {
    Result<PartialBlob> blob = PartialBlob::Begin(store_, descriptor, cancelled_);
    if (!blob.ok()) return blob.status();
    if (blob->done()) return Status();
    USETL_RETURN_IF_ERROR(blob->Restart());
    USETL_RETURN_IF_ERROR(Read(name, [&](std::string_view bytes) { return blob->Append(bytes); }));
    return blob->Commit().Annotate(name);
  }

 private:
  // Never leads out of the directory, whatever links are in it.
  Status Read(const std::string& name, const std::function<Status(std::string_view)>& take) {
    const std::string context = path_ + "/" + name;
    const Fd directory(open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory.ok()) return Status::Errno("open " + path_);
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    const Fd file(
        static_cast<int>(syscall(SYS_openat2, directory.get(), name.c_str(), &how, sizeof(how))));
    struct stat info;
    if (!file.ok() || fstat(file.get(), &info) != 0) return Status::Errno("open " + context);
    if (!S_ISREG(info.st_mode)) return Status(EBADMSG, context + " is no regular file");
    std::vector<char> bytes(kChunk);
    while (true) {
      if (IsCancelled(cancelled_)) return CancelledStatus();
      const ssize_t n = read(file.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Status::Errno("read " + context);
      if (n == 0) return Status();
      USETL_RETURN_IF_ERROR(take({bytes.data(), static_cast<size_t>(n)}));
    }
  }

  const ContentStore& store_;
  const std::string path_;
  const Cancelled& cancelled_;
};

}  // namespace

std::unique_ptr<ImportSource> OpenDirectory(const ContentStore& store, const std::string& path,
                                            const Cancelled& cancelled) {
  return std::make_unique<DirectorySource>(store, path, cancelled);
}

}  // namespace usetl::image
