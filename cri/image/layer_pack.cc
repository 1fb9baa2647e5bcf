#include "cri/image/layer_pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <system_error>
#include <thread>

#include "cri/image/digest.h"
#include "vmm/pack/pack_reader.h"
#include "vmm/pack/pack_writer.h"

namespace usetl::image {
namespace {

constexpr size_t kReadSize = 256 << 10;
// What a plain tar has beyond its contents: headers, long names, padding. Per entry, generously.
constexpr uint64_t kTarOverhead = 4096;
constexpr uint64_t kTarPadding = 64 << 20;

struct CloseArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};

// Decompresses a layer in a thread of its own, hashes the plain tar, and hands it to a socket.
class Inflater {
 public:
  Inflater(int layer, uint64_t limit, const Cancelled& cancelled)
      : layer_(layer), limit_(limit), cancelled_(cancelled) {}
  ~Inflater() { Stop(); }

  Status Start() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      return Status::Errno("socketpair");
    }
    read_end_ = Fd(ends[0]);
    write_end_ = Fd(ends[1]);
    try {
      thread_ = std::thread([this] {
        status_ = Run();
        write_end_.Reset();
      });
    } catch (const std::system_error& error) {
      return Status(error.code().value(), "start a thread for unpacking");
    }
    return Status();
  }
  int read_end() const { return read_end_.get(); }

  // Reads what follows the end of the archive, which the digest covers too.
  Status Drain() {
    char bytes[64 << 10];
    while (true) {
      const ssize_t n = read(read_end_.get(), bytes, sizeof(bytes));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Status::Errno("read layer");
      if (n == 0) break;
    }
    Stop();
    return status_;
  }
  // The thread's own error, once it has stopped; EPIPE when nobody read on.
  const Status& Stop() {
    read_end_.Reset();  // its next send fails
    if (thread_.joinable()) thread_.join();
    return status_;
  }
  std::string Digest() { return sha_.Finish(); }

 private:
  Status Run() {
    std::unique_ptr<archive, CloseArchive> stream(archive_read_new());
    if (!stream) return Status(ENOMEM, "no memory for reading a layer");
    archive_read_support_filter_gzip(stream.get());
    archive_read_support_filter_zstd(stream.get());
    archive_read_support_format_raw(stream.get());
    archive_read_support_format_empty(stream.get());
    archive_entry* entry;
    if (archive_read_open_fd(stream.get(), layer_, kReadSize) != ARCHIVE_OK) {
      return Failure(stream.get());
    }
    const int result = archive_read_next_header(stream.get(), &entry);
    if (result == ARCHIVE_EOF) return Status();
    if (result != ARCHIVE_OK) return Failure(stream.get());
    uint64_t total = 0;
    while (true) {
      const void* data;
      size_t size;
      la_int64_t offset;
      const int block = archive_read_data_block(stream.get(), &data, &size, &offset);
      if (block == ARCHIVE_EOF) return Status();
      if (block != ARCHIVE_OK) return Failure(stream.get());
      total += size;
      if (total > limit_) return Status(EBADMSG, "unpacks to too many bytes");
      if (IsCancelled(cancelled_)) return CancelledStatus();
      sha_.Update(data, size);
      USETL_RETURN_IF_ERROR(Send(static_cast<const char*>(data), size));
    }
  }

  Status Send(const char* bytes, size_t size) {
    for (size_t done = 0; done < size;) {
      const ssize_t n = send(write_end_.get(), bytes + done, size - done, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      // The reader closes with bytes unread when it has seen enough.
      if (n < 0 && errno == ECONNRESET) errno = EPIPE;
      if (n < 0) return Status::Errno("hand on a layer");
      done += n;
    }
    return Status();
  }

  static Status Failure(archive* stream) {
    const char* text = archive_error_string(stream);
    return Status(EBADMSG, text != nullptr ? text : "malformed compression");
  }

  const int layer_;
  const uint64_t limit_;
  const Cancelled& cancelled_;
  Fd read_end_, write_end_;
  std::thread thread_;
  Sha256 sha_;
  Status status_;  // of the thread, once joined
};

// Unpacking says with errno what rule of a layer is broken; to callers here those are one thing.
Status AsContent(const Status& status) {
  switch (status.code()) {
    case ENOENT:
    case EINVAL:
    case EFBIG:
    case E2BIG:
    case ENAMETOOLONG:
    case ENOTDIR:
      return Status(EBADMSG, status.message());
    case EDQUOT:
      return Status(ENOSPC, status.message());
    default:
      return status;
  }
}

Status ReadLayer(const ContentStore& store, const StoreConfig& config, int blob,
                 const std::string& diff_id, const Cancelled& cancelled, pack::PackTree* tree) {
  const uint64_t limit =
      config.max_unpacked_bytes + config.max_layer_entries * kTarOverhead + kTarPadding;
  Inflater inflater(blob, limit, cancelled);
  USETL_RETURN_IF_ERROR(inflater.Start());
  pack::SourceOptions options;
  options.max_bytes = config.max_unpacked_bytes;
  options.max_entries = config.max_layer_entries;
  const Status unpacked = pack::AddArchive(inflater.read_end(), store.ingest(), options, tree);
  if (!unpacked.ok()) {
    // A stream that broke off looks like a malformed archive: its own error is the cause.
    const Status& cause = inflater.Stop();
    return cause.ok() || cause.code() == EPIPE ? AsContent(unpacked) : cause;
  }
  USETL_RETURN_IF_ERROR(inflater.Drain());
  const std::string digest = inflater.Digest();
  if (digest != diff_id) {
    return Status(EBADMSG, "unpacks to " + digest + ", the image's config says " + diff_id);
  }
  return Status();
}

// The pack that is there, if it was made by this version of the program. ENOENT when there is none.
Status CheckExisting(const ContentStore& store, const std::string& layer_digest,
                     const std::string& diff_id) {
  if (!pack::OpenPack(store.PackPath(layer_digest), /*with_digest=*/false).ok()) {
    return Status(ENOENT, "no pack");
  }
  const Result<std::string> known = ReadFile(store.DiffIdPath(layer_digest), 128);
  if (!known.ok()) return Status(ENOENT, "no pack");
  if (*known == diff_id) return Status();
  return Status(EBADMSG, "unpacks to " + *known + ", the image's config says " + diff_id);
}

Status MakePack(const ContentStore& store, const StoreConfig& config,
                const std::string& layer_digest, const std::string& diff_id,
                const Cancelled& cancelled) {
  const Fd blob(open(store.BlobPath(layer_digest).c_str(), O_RDONLY | O_CLOEXEC));
  if (!blob.ok()) return Status::Errno("open its blob");
  pack::PackTree tree;
  USETL_RETURN_IF_ERROR(ReadLayer(store, config, blob.get(), diff_id, cancelled, &tree));
  // The pack comes last: whatever has one has its digest too.
  USETL_RETURN_IF_ERROR(
      ReplaceFile(store.ingest() + "/diff-id", store.DiffIdPath(layer_digest), diff_id));
  const std::string temporary = store.ingest() + "/" + HexOf(layer_digest) + ".pack";
  const Result<pack::PackSummary> written = pack::WritePack(tree, temporary, {.sync = true});
  if (!written.ok()) return AsContent(written.status());
  const std::string path = store.PackPath(layer_digest);
  if (rename(temporary.c_str(), path.c_str()) != 0) return Status::Errno("rename to " + path);
  return SyncDirectory(store.directory() + "/packs");
}

}  // namespace

bool HasPack(const ContentStore& store, const std::string& layer_digest) {
  const Fd fd(open(store.PackPath(layer_digest).c_str(), O_RDONLY | O_CLOEXEC));
  abi::PackHeader header;
  struct stat info;
  return fd.ok() && fstat(fd.get(), &info) == 0 &&
         pread(fd.get(), &header, sizeof(header), 0) == sizeof(header) &&
         header.magic == abi::kPackMagic && header.abi_version == abi::kAbiVersion &&
         header.size == static_cast<uint64_t>(info.st_size);
}

Status PackLayer(const ContentStore& store, const StoreConfig& config,
                 const std::string& layer_digest, const std::string& diff_id,
                 const Cancelled& cancelled) {
  const std::string lock_path = store.ingest() + "/" + HexOf(layer_digest) + ".lock";
  const Result<Fd> lock = LockFile(lock_path, cancelled);
  if (!lock.ok()) return lock.status();
  Status status = CheckExisting(store, layer_digest, diff_id);
  if (status.code() == ENOENT) status = MakePack(store, config, layer_digest, diff_id, cancelled);
  unlink(lock_path.c_str());
  return status.Annotate("layer " + layer_digest);
}

}  // namespace usetl::image
