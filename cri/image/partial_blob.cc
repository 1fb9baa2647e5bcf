#include "cri/image/partial_blob.h"

#include <sys/stat.h>
#include <unistd.h>

#include <vector>

namespace usetl::image {

Result<PartialBlob> PartialBlob::Begin(const ContentStore& store, const Descriptor& descriptor,
                                       const Cancelled& cancelled) {
  PartialBlob blob(store, descriptor);
  blob.done_ = store.HasBlob(descriptor);
  if (blob.done_) return blob;
  blob.path_ = store.ingest() + "/" + HexOf(descriptor.digest);
  Result<Fd> fd = LockFile(blob.path_, cancelled);
  if (!fd.ok()) return fd.status();
  blob.fd_ = std::move(*fd);
  blob.done_ = store.HasBlob(descriptor);  // whoever had the lock before may have finished it
  if (blob.done_) {
    unlink(blob.path_.c_str());
    return blob;
  }
  if (Status status = blob.TakeUp(); !status.ok()) return status;
  return blob;
}

Status PartialBlob::TakeUp() {
  std::vector<char> bytes(256 << 10);
  while (true) {
    const ssize_t n = pread(fd_.get(), bytes.data(), bytes.size(), size_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::Errno("read " + path_);
    if (n == 0) break;
    sha_.Update(bytes.data(), n);
    size_ += n;
    if (size_ > descriptor_.size) return Restart();
  }
  return lseek(fd_.get(), size_, SEEK_SET) < 0 ? Status::Errno("seek " + path_) : Status();
}

Status PartialBlob::Append(std::string_view bytes) {
  if (bytes.size() > descriptor_.size - size_) {
    return Status(EBADMSG, "more bytes than the " + std::to_string(descriptor_.size) +
                               " that the manifest says");
  }
  USETL_RETURN_IF_ERROR(WriteAll(fd_.get(), bytes).Annotate(path_));
  sha_.Update(bytes.data(), bytes.size());
  size_ += bytes.size();
  return Status();
}

Status PartialBlob::Restart() {
  if (ftruncate(fd_.get(), 0) != 0 || lseek(fd_.get(), 0, SEEK_SET) != 0) {
    return Status::Errno("empty " + path_);
  }
  sha_ = Sha256();
  size_ = 0;
  return Status();
}

Status PartialBlob::Commit() {
  const std::string digest = sha_.Finish();
  if (size_ != descriptor_.size || digest != descriptor_.digest) {
    const std::string got = std::to_string(size_) + " bytes of " + digest;
    USETL_RETURN_IF_ERROR(Restart());
    return Status(EBADMSG, "got " + got + " instead of " + std::to_string(descriptor_.size) +
                               " bytes of " + descriptor_.digest);
  }
  USETL_RETURN_IF_ERROR(PublishFile(fd_.get(), path_, store_->BlobPath(descriptor_.digest)));
  done_ = true;
  return Status();
}

}  // namespace usetl::image
