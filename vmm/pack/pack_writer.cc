#include "vmm/pack/pack_writer.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "vmm/pack/content_stream.h"
#include "vmm/pack/pack_layout.h"

namespace usetl::pack {
namespace {

// A program larger than this is stored as it is: it must be in memory in one piece to be rewritten.
constexpr uint64_t kMaxProgram = uint64_t{1} << 30;

// The new file under a name of its own, removed unless Publish() succeeds.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string target) : target_(std::move(target)) {}
  ~TemporaryFile() {
    if (fd_.ok()) unlink(name_.c_str());
  }
  Status Create() {
    name_ = target_ + ".XXXXXX";
    fd_ = Fd(mkostemp(name_.data(), O_CLOEXEC));
    return fd_.ok() ? Status() : Status::Errno("create");
  }
  Status Publish(bool sync) {
    if (fchmod(fd_.get(), 0444) != 0) return Status::Errno("chmod");
    if (sync && fsync(fd_.get()) != 0) return Status::Errno("fsync");
    if (rename(name_.c_str(), target_.c_str()) != 0) return Status::Errno("rename");
    fd_.Reset();
    return Status();
  }
  int fd() const { return fd_.get(); }

 private:
  const std::string target_;
  std::string name_;
  Fd fd_;
};

class Writer {
 public:
  Writer(const PackTree& tree, int fd)
      : tree_(tree), fd_(fd), stream_(fd, sizeof(abi::PackHeader)) {}

  Status Run() {
    USETL_RETURN_IF_ERROR(MakeLayout(tree_, &layout_));
    USETL_RETURN_IF_ERROR(stream_.Start());
    USETL_RETURN_IF_ERROR(WriteTables());
    for (uint32_t node : layout_.contents) {
      USETL_RETURN_IF_ERROR(WriteContent(tree_.inode_of(node)));
    }
    USETL_RETURN_IF_ERROR(stream_.Finish(layout_.header.digest));
    layout_.header.rewritten_sites = sites_.rewritten;
    const ssize_t n = pwrite(fd_, &layout_.header, sizeof(layout_.header), 0);
    return n == sizeof(layout_.header) ? Status() : Status::Errno("write header");
  }

  PackSummary Summary() const {
    PackSummary summary{layout_.header.entry_count, layout_.header.size, sites_, {}};
    std::copy(std::begin(layout_.header.digest), std::end(layout_.header.digest),
              summary.digest.begin());
    return summary;
  }

 private:
  Status WriteTables() {
    uint8_t* bytes;
    const size_t size = layout_.header.data_offset - sizeof(layout_.header);
    const size_t entries_size = layout_.entries.size() * sizeof(abi::PackEntry);
    USETL_RETURN_IF_ERROR(stream_.Reserve(size, &bytes));
    std::memcpy(bytes, layout_.entries.data(), entries_size);
    std::memcpy(bytes + entries_size, layout_.names.data(), layout_.names.size());
    std::memset(bytes + entries_size + layout_.names.size(), 0,
                size - entries_size - layout_.names.size());
    return Status();
  }

  Status WriteContent(const PackInode& inode) {
    if (inode.size == 0) return Status();
    const int source = tree_.source(inode.source);
    if (inode.source_path.empty()) return Copy(source, inode);
    // An image's links must not lead out of it, whoever changes the directory meanwhile.
    open_how how{};
    how.flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const Fd file(static_cast<int>(
        syscall(SYS_openat2, source, inode.source_path.c_str(), &how, sizeof(how))));
    if (!file.ok()) return Status::Errno("open " + inode.source_path);
    return Copy(file.get(), inode);
  }

  Status Copy(int fd, const PackInode& inode) {
    uint8_t magic[SELFMAG] = {};
    // Small files are in one piece anyway and are looked at when they have been read.
    if (inode.size > ContentStream::kChunkSize) {
      USETL_RETURN_IF_ERROR(ReadAll(fd, inode, 0, magic, sizeof(magic)));
    }
    const bool program = std::memcmp(magic, ELFMAG, SELFMAG) == 0 && inode.size <= kMaxProgram;
    const uint64_t piece = program ? inode.size : ContentStream::kChunkSize;
    for (uint64_t done = 0; done < inode.size; done += piece) {
      const uint64_t size = std::min(piece, inode.size - done);
      uint8_t* bytes;
      USETL_RETURN_IF_ERROR(stream_.Reserve(PageUp(size), &bytes));
      USETL_RETURN_IF_ERROR(ReadAll(fd, inode, done, bytes, size));
      std::memset(bytes + size, 0, PageUp(size) - size);
      if (size == inode.size) {
        const RewriteCounts counts = RewriteSyscalls({bytes, size});
        sites_.rewritten += counts.rewritten;
        sites_.left += counts.left;
      }
    }
    return Status();
  }

  static Status ReadAll(int fd, const PackInode& inode, uint64_t from, uint8_t* bytes,
                        size_t size) {
    for (size_t done = 0; done < size;) {
      const off_t at = inode.source_offset + from + done;
      const ssize_t n = pread(fd, bytes + done, size - done, at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Status::Errno("read " + inode.source_path);
      if (n == 0) return Status(EIO, "became shorter while it was read: " + inode.source_path);
      done += n;
    }
    return Status();
  }

  const PackTree& tree_;
  const int fd_;
  ContentStream stream_;
  PackLayout layout_;
  RewriteCounts sites_;
};

}  // namespace

Result<PackSummary> WritePack(const PackTree& tree, const std::string& path,
                              const WriteOptions& options) {
  const std::string context = "write pack " + path;
  TemporaryFile file(path);
  if (Status status = file.Create(); !status.ok()) return status.Annotate(context);
  Writer writer(tree, file.fd());
  if (Status status = writer.Run(); !status.ok()) return status.Annotate(context);
  if (Status status = file.Publish(options.sync); !status.ok()) return status.Annotate(context);
  return writer.Summary();
}

}  // namespace usetl::pack
