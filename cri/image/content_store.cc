#include "cri/image/content_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cri/image/digest.h"
#include "cri/image/reference.h"

namespace usetl::image {
namespace {

constexpr char kLayout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
constexpr char kRefName[] = "org.opencontainers.image.ref.name";

Status MakeDirectory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return Status();
  return Status::Errno("make directory " + path);
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

}  // namespace

ContentLease& ContentLease::operator=(ContentLease&& other) noexcept {
  Release();
  path_ = std::move(other.path_);
  fd_ = std::move(other.fd_);
  return *this;
}

void ContentLease::Release() {
  // Removed while still locked: a lease without a lock is taken for that of a dead process.
  if (fd_.ok()) unlink(path_.c_str());
  fd_.Reset();
}

Result<std::unique_ptr<ContentStore>> ContentStore::Open(const std::string& directory) {
  std::unique_ptr<ContentStore> store(new ContentStore(directory));
  if (Status status = store->Prepare(); !status.ok()) {
    return status.Annotate("image store " + directory);
  }
  return store;
}

Status ContentStore::Prepare() const {
  for (size_t slash = directory_.find('/', 1); slash != std::string::npos;
       slash = directory_.find('/', slash + 1)) {
    USETL_RETURN_IF_ERROR(MakeDirectory(directory_.substr(0, slash), 0755));
  }
  for (const char* name : {"", "/blobs", "/blobs/sha256", "/packs", "/ingest", "/leases"}) {
    USETL_RETURN_IF_ERROR(MakeDirectory(directory_ + name, 0700));
  }
  Result<Fd> lock = Lock();
  if (!lock.ok()) return lock.status();
  // oci-layout is written last, so with it there must be an index.
  const std::string layout = directory_ + "/oci-layout", index = directory_ + "/index.json";
  if (!Exists(layout)) {
    if (!Exists(index)) USETL_RETURN_IF_ERROR(WriteIndex({}));
    USETL_RETURN_IF_ERROR(ReplaceFile(ingest() + "/oci-layout", layout, kLayout));
  }
  return ReadIndex().status();
}

Result<Fd> ContentStore::Lock() const { return LockFile(directory_ + "/lock", {}); }

std::string ContentStore::BlobPath(const std::string& digest) const {
  return directory_ + "/blobs/sha256/" + HexOf(digest);
}
std::string ContentStore::PackPath(const std::string& layer_digest) const {
  return directory_ + "/packs/" + HexOf(layer_digest) + ".pack";
}
std::string ContentStore::DiffIdPath(const std::string& layer_digest) const {
  return directory_ + "/packs/" + HexOf(layer_digest) + ".diff-id";
}

bool ContentStore::HasBlob(const Descriptor& descriptor) const {
  struct stat info;
  return stat(BlobPath(descriptor.digest).c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         static_cast<uint64_t>(info.st_size) == descriptor.size;
}

Result<std::string> ContentStore::ReadDocument(const std::string& digest) const {
  Result<std::string> text = ReadFile(BlobPath(digest), kMaxDocument);
  if (!text.ok()) return text;
  if (DigestOf(*text) != digest) return Status(EBADMSG, "blob " + digest + " is damaged");
  return text;
}

Status ContentStore::PutDocument(const std::string& digest, const std::string& bytes) const {
  if (ReadDocument(digest).ok()) return Status();
  if (DigestOf(bytes) != digest) return Status(EBADMSG, "a document is not " + digest);
  return ReplaceFile(ingest() + "/document", BlobPath(digest), bytes);
}

Result<std::vector<IndexEntry>> ContentStore::ReadIndex() const {
  const std::string path = directory_ + "/index.json";
  const auto damaged = [&](const std::string& why) {
    return Status(EBADMSG, path + " is damaged: " + why +
                               "; restore it, or empty the store's directory and pull anew");
  };
  Result<std::string> text = ReadFile(path, kMaxDocument);
  if (!text.ok()) return text.status().code() == ENOENT ? damaged("it is missing") : text.status();
  Result<std::vector<IndexItem>> items = ParseIndex(*text);
  if (!items.ok()) return damaged(items.status().message());
  std::vector<IndexEntry> entries;
  for (IndexItem& item : *items) {
    if (!item.name.empty()) {
      const Result<Reference> name = Reference::Parse(item.name);
      if (!name.ok()) return damaged(name.status().message());
      item.name = name->Text();
    }
    entries.push_back({std::move(item.descriptor), std::move(item.name)});
  }
  return entries;
}

Result<Fd> ContentStore::OpenIndex() const {
  Fd fd(open((directory_ + "/index.json").c_str(), O_PATH | O_CLOEXEC));
  if (!fd.ok()) return Status::Errno("open " + directory_ + "/index.json");
  return fd;
}

bool ContentStore::IsIndex(const Fd& index) const {
  struct stat then, now;
  return index.ok() && fstat(index.get(), &then) == 0 &&
         stat((directory_ + "/index.json").c_str(), &now) == 0 && then.st_ino == now.st_ino &&
         then.st_dev == now.st_dev;
}

Status ContentStore::WriteIndex(const std::vector<IndexEntry>& entries) const {
  using nlohmann::json;
  json document = {{"schemaVersion", 2}, {"mediaType", kOciIndex}, {"manifests", json::array()}};
  for (const IndexEntry& entry : entries) {
    json item = {{"mediaType", entry.manifest.media_type},
                 {"digest", entry.manifest.digest},
                 {"size", entry.manifest.size}};
    if (!entry.name.empty()) item["annotations"] = {{kRefName, entry.name}};
    document["manifests"].push_back(std::move(item));
  }
  const std::string text = document.dump(1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kMaxDocument || entries.size() > kMaxIndexEntries) {
    return Status(ENOSPC, "the image store has too many names; remove images");
  }
  return ReplaceFile(ingest() + "/index", directory_ + "/index.json", text);
}

Status ContentStore::ChangeIndex(
    const std::function<Status(std::vector<IndexEntry>*)>& change) const {
  Result<Fd> lock = Lock();
  if (!lock.ok()) return lock.status();
  Result<std::vector<IndexEntry>> entries = ReadIndex();
  if (!entries.ok()) return entries.status();
  USETL_RETURN_IF_ERROR(change(&*entries));
  return WriteIndex(*entries);
}

Result<ContentLease> ContentStore::Lease(const std::vector<std::string>& digests) const {
  Result<Fd> lock = Lock();
  if (!lock.ok()) return lock.status();
  std::string path = directory_ + "/leases/XXXXXX";
  Fd fd(mkostemp(path.data(), O_CLOEXEC));
  if (!fd.ok()) return Status::Errno("make a lease in " + directory_);
  const int file = fd.get();
  ContentLease lease(std::move(path), std::move(fd));
  if (flock(file, LOCK_EX | LOCK_NB) != 0) return Status::Errno("lock a lease");
  std::string text;
  for (const std::string& digest : digests) text += digest + "\n";
  USETL_RETURN_IF_ERROR(WriteAll(file, text).Annotate("lease"));
  return lease;
}

}  // namespace usetl::image
