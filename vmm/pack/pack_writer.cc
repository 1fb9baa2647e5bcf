#include "vmm/pack/pack_writer.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "vmm/pack/content_stream.h"

namespace usetl::pack {
namespace {

// A program larger than this is stored as it is: it must be in memory in one piece to be rewritten.
constexpr uint64_t kMaxProgram = uint64_t{1} << 30;

constexpr uint64_t PageUp(uint64_t size) {
  return (size + abi::kPageSize - 1) & ~(abi::kPageSize - 1);
}

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
    USETL_RETURN_IF_ERROR(Number());
    Layout();
    USETL_RETURN_IF_ERROR(stream_.Start());
    USETL_RETURN_IF_ERROR(WriteTables());
    for (uint32_t inode_node : contents_) {
      const PackInode& inode = tree_.inode_of(inode_node);
      USETL_RETURN_IF_ERROR(WriteContent(inode).Annotate(inode.source_path));
    }
    USETL_RETURN_IF_ERROR(stream_.Finish(header_.digest));
    header_.rewritten_sites = sites_.rewritten;
    const ssize_t n = pwrite(fd_, &header_, sizeof(header_), 0);
    return n == sizeof(header_) ? Status() : Status::Errno("write header");
  }

  PackSummary Summary() const {
    PackSummary summary{header_.entry_count, header_.size, sites_, {}};
    std::copy(std::begin(header_.digest), std::end(header_.digest), summary.digest.begin());
    return summary;
  }

 private:
  // Breadth first: the children of one directory become consecutive entries.
  Status Number() {
    order_.push_back(PackTree::kRoot);
    entries_.push_back({});
    for (size_t i = 0; i < order_.size(); ++i) {
      const auto& children = tree_.node(order_[i]).children;
      entries_[i].offset = order_.size();
      if (children.size() > std::numeric_limits<uint32_t>::max() - order_.size()) {
        return Status(E2BIG, "too many files for one pack");
      }
      for (const auto& [name, node] : children) {
        order_.push_back(node);
        entries_.push_back({});
        entries_.back().parent = i;
      }
    }
    return Status();
  }

  // Places names, targets and contents and completes the entries.
  void Layout() {
    header_.magic = abi::kPackMagic;
    header_.abi_version = abi::kAbiVersion;
    header_.entry_count = order_.size();
    header_.names_offset = sizeof(header_) + order_.size() * sizeof(abi::PackEntry);
    std::vector<uint32_t> first(tree_.inode_count(), PackTree::kNone);  // entry of each inode
    for (uint32_t i = 0; i < order_.size(); ++i) {
      const PackNode& node = tree_.node(order_[i]);
      const PackInode& inode = tree_.inode_of(order_[i]);
      abi::PackEntry& entry = entries_[i];
      entry.name_offset = AddBytes(node.name);
      entry.name_size = node.name.size();
      entry.type = inode.type;
      entry.mode = inode.mode;
      entry.uid = inode.uid;
      entry.gid = inode.gid;
      entry.modified_ns = inode.modified_ns;
      entry.hard_link = i;
      if (tree_.IsDirectory(order_[i])) {
        entry.size = node.children.size();
      } else if (inode.type == abi::PackType::kSymlink) {
        entry.size = inode.target.size();
        entry.offset = AddBytes(inode.target);
      } else if (inode.type == abi::PackType::kWhiteout) {
        entry.offset = 0;
      } else {
        if (first[node.inode] == PackTree::kNone) {
          first[node.inode] = i;
          contents_.push_back(order_[i]);
        }
        entry.hard_link = first[node.inode];
        entry.size = inode.size;
      }
    }
    header_.names_size = names_.size();
    header_.data_offset = PageUp(header_.names_offset + header_.names_size);
    header_.size = header_.data_offset;
    for (uint32_t i = 0; i < entries_.size(); ++i) {
      abi::PackEntry& entry = entries_[i];
      if (entry.type != abi::PackType::kRegular) continue;
      const bool own = entry.hard_link == i;
      entry.offset = own ? header_.size : entries_[entry.hard_link].offset;
      if (own) header_.size += PageUp(entry.size);
    }
  }

  uint64_t AddBytes(std::string_view bytes) {
    names_.append(bytes);
    return header_.names_offset + names_.size() - bytes.size();
  }

  Status WriteTables() {
    uint8_t* bytes;
    const size_t size = header_.data_offset - sizeof(header_);
    const size_t entries_size = entries_.size() * sizeof(abi::PackEntry);
    USETL_RETURN_IF_ERROR(stream_.Reserve(size, &bytes));
    std::memcpy(bytes, entries_.data(), entries_size);
    std::memcpy(bytes + entries_size, names_.data(), names_.size());
    std::memset(bytes + entries_size + names_.size(), 0, size - entries_size - names_.size());
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
    if (!file.ok()) return Status::Errno("open");
    return Copy(file.get(), inode);
  }

  Status Copy(int fd, const PackInode& inode) {
    uint8_t magic[SELFMAG] = {};
    // Small files are in one piece anyway and are looked at when they have been read.
    if (inode.size > ContentStream::kChunkSize) {
      USETL_RETURN_IF_ERROR(ReadAll(fd, inode.source_offset, magic, sizeof(magic)));
    }
    const bool program = std::memcmp(magic, ELFMAG, SELFMAG) == 0 && inode.size <= kMaxProgram;
    const uint64_t piece = program ? inode.size : ContentStream::kChunkSize;
    for (uint64_t done = 0; done < inode.size; done += piece) {
      const uint64_t size = std::min(piece, inode.size - done);
      uint8_t* bytes;
      USETL_RETURN_IF_ERROR(stream_.Reserve(PageUp(size), &bytes));
      USETL_RETURN_IF_ERROR(ReadAll(fd, inode.source_offset + done, bytes, size));
      std::memset(bytes + size, 0, PageUp(size) - size);
      if (size == inode.size) {
        const RewriteCounts counts = RewriteSyscalls({bytes, size});
        sites_.rewritten += counts.rewritten;
        sites_.left += counts.left;
      }
    }
    return Status();
  }

  static Status ReadAll(int fd, uint64_t offset, uint8_t* bytes, size_t size) {
    for (size_t done = 0; done < size;) {
      const ssize_t n = pread(fd, bytes + done, size - done, offset + done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Status::Errno("read");
      if (n == 0) return Status(EIO, "the file became shorter while it was read");
      done += n;
    }
    return Status();
  }

  const PackTree& tree_;
  const int fd_;
  ContentStream stream_;
  std::vector<uint32_t> order_;  // node of each entry
  std::vector<abi::PackEntry> entries_;
  std::vector<uint32_t> contents_;  // nodes whose contents follow, in this order
  std::string names_;
  abi::PackHeader header_{};
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
