#include "guest/kernel/fs/tree_file.h"

#include "guest/kernel/fs/directory_record.h"
#include "guest/kernel/fs/host_file.h"
#include "guest/kernel/fs/live.h"
#include "guest/kernel/fs/mount.h"
#include "guest/kernel/fs/sparse.h"
#include "guest/kernel/linux/abi.h"
#include "guest/kernel/linux/fcntl.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"
#include "guest/kernel/memory/user.h"

namespace usetl::kernel {
namespace {

// Kinds are told apart by the Kind() of this common base, which no other file has.
enum class Kind { kRegular, kDirectory, kSpecial };

class TreeFile : public File {
 public:
  TreeFile(Kind kind, Inode* inode, Node* node) : kind_(kind), inode_(inode), node_(node) {
    if (inode_ != nullptr) RefInode(inode_);
    if (node_ != nullptr) ++node_->users;
    next_ = g_files;
    if (g_files != nullptr) g_files->previous_ = this;
    g_files = this;
  }
  ~TreeFile() override {
    (previous_ != nullptr ? previous_->next_ : g_files) = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
    if (node_ != nullptr) --node_->users;
    if (inode_ != nullptr) UnrefInode(inode_);
  }
  int64_t GetStat(Stat* stat) override {
    FillStat(*inode_, stat);
    return 0;
  }
  int64_t Name(char* buffer, uint64_t size) override {
    return node_ == nullptr ? 0 : PathOf(node_, buffer, size);
  }
  // Null when `file` is not of the tree.
  static TreeFile* From(File* file) {
    for (TreeFile* f = g_files; f != nullptr; f = f->next_) {
      if (f == file) return f;
    }
    return nullptr;
  }
  Kind kind() const { return kind_; }
  Inode* inode() const { return inode_; }
  Node* node() const { return node_; }

 protected:
  Kind kind_;
  Inode* inode_;
  Node* node_;
  uint64_t position_ = 0;

 private:
  static TreeFile* g_files;
  TreeFile* next_ = nullptr;
  TreeFile* previous_ = nullptr;
};

TreeFile* TreeFile::g_files = nullptr;

class RegularFile final : public TreeFile {
 public:
  RegularFile(Inode* inode, Node* node) : TreeFile(Kind::kRegular, inode, node) {}

  int64_t Read(void* user, uint64_t size) override {
    const int64_t got = ReadInode(inode_, user, size, position_);
    if (got > 0) position_ += got;
    return got;
  }
  int64_t Write(const void* user, uint64_t size) override {
    if (status_flags & kAppend) position_ = inode_->size;
    const int64_t put = WriteAt(user, size, position_);
    if (put > 0) position_ += put;
    // Behind what others have appended meanwhile.
    if (put > 0 && (status_flags & kAppend)) position_ = inode_->size;
    return put;
  }
  int64_t ReadAt(void* user, uint64_t size, uint64_t offset) override {
    return ReadInode(inode_, user, size, offset);
  }
  int64_t WriteAt(const void* user, uint64_t size, uint64_t offset) override {
    const bool append = status_flags & kAppend;
    if (inode_->host != nullptr) return WriteHostFile(inode_, user, size, offset, append);
    return WriteInode(inode_, user, size, append ? inode_->size : offset);
  }
  int64_t GetStat(Stat* stat) override {
    const int64_t error = Refresh();
    return error != 0 ? error : TreeFile::GetStat(stat);
  }
  int64_t Seek(int64_t offset, int whence) override {
    if (whence != kSeekSet && whence != kSeekCurrent) {
      if (const int64_t error = Refresh(); error != 0) return error;
    }
    const auto size = static_cast<int64_t>(inode_->size);
    int64_t base = 0;
    switch (whence) {
      case kSeekSet:
        break;
      case kSeekCurrent:
        base = static_cast<int64_t>(position_);
        break;
      case kSeekEnd:
        base = size;
        break;
      case kSeekData:
      case kSeekHole:
        if (offset < 0 || offset >= size) return -ENXIO;
        offset = FindPart(static_cast<uint64_t>(offset), whence == kSeekData);
        if (offset == size && whence == kSeekData) return -ENXIO;
        break;
      default:
        return -EINVAL;
    }
    int64_t target;
    if (__builtin_add_overflow(base, offset, &target) || target < 0) return -EINVAL;
    position_ = static_cast<uint64_t>(target);
    return target;
  }
  int64_t Truncate(uint64_t size) override { return TruncateInode(inode_, size); }
  int64_t Ioctl(uint64_t request, uint64_t argument) override {
    constexpr uint64_t kBytesReadable = 0x541b;  // FIONREAD
    if (request != kBytesReadable) return -ENOTTY;
    const uint64_t left = inode_->size > position_ ? inode_->size - position_ : 0;
    return PutUser(reinterpret_cast<int32_t*>(argument), static_cast<int32_t>(left)) ? 0 : -EFAULT;
  }
  int64_t Map(uint64_t offset, uint64_t, const MapAccess& access, MapSource* source) override {
    const bool shared_writable = access.shared && access.writable;
    if ((status_flags & kAccessMode) == kWriteOnly) return -EACCES;
    if (inode_->host != nullptr) {
      return shared_writable ? -ENODEV : MapHostFile(inode_, offset, access.shared, source);
    }
    if (shared_writable) {
      if ((status_flags & kAccessMode) != kReadWriteMode) return -EACCES;
      if (IsOfHost(inode_->home)) return -ENODEV;  // the host would not see what changes
      if (const int64_t error = EnsureWritable(inode_, inode_->size); error != 0) return error;
    }
    if (offset >= inode_->size) return -ENXIO;
    if (FillHoles(inode_) != 0) return -ENOMEM;
    *source = {inode_->address + offset, inode_->size - offset, inode_->own};
    return 0;
  }
  void Pin() override { ++inode_->pins; }
  void Unpin() override { --inode_->pins; }

 private:
  int64_t Refresh() { return IsOpenHostFile(inode_) ? RefreshHostFile(inode_) : 0; }
  int64_t FindPart(uint64_t offset, bool data) const {
    if (!inode_->sparse) return static_cast<int64_t>(data ? offset : inode_->size);
    return static_cast<int64_t>(data ? FindData(*inode_, offset) : FindHole(*inode_, offset));
  }
};

class DirectoryFile final : public TreeFile {
 public:
  explicit DirectoryFile(Node* node) : TreeFile(Kind::kDirectory, node->inode, node) {}

  int64_t Read(void*, uint64_t) override { return -EISDIR; }
  int64_t Seek(int64_t offset, int whence) override {
    if (whence == kSeekCurrent) offset += static_cast<int64_t>(position_);
    if (whence > kSeekCurrent || offset < 0) return -EINVAL;
    position_ = static_cast<uint64_t>(offset);
    if (offset == 0) mounts_ = 0;
    return offset;
  }
  // Positions: 0 ".", 1 "..", then 2 + the child's index from the oldest. Children are put in
  // front, so an index stays right while names are added.
  int64_t ReadDirectory(void* user, uint64_t size) override {
    if (IsLive(node_)) return ListLive(node_, user, size, &position_, &mounts_);
    if (!CompleteDirectory(node_)) return -ENOMEM;
    DirectoryWriter out(user, size);
    uint64_t count = 0;
    for (Node* c = node_->first_child; c != nullptr; c = c->next_sibling) ++count;
    if (count == 0 || position_ < 2) {
      for (; position_ < 2; ++position_) {
        const Node* n = position_ == 0 ? node_ : node_->parent;
        const uint64_t number = n->inode != nullptr ? n->inode->number : 1;
        if (!out.Put(number, Next(), kTypeDirectory, position_ == 0 ? "." : "..")) return out.End();
      }
    }
    if (position_ - 2 >= count) return out.End();
    auto** children = static_cast<Node**>(Allocate(count * sizeof(Node*)));
    if (children == nullptr) return -ENOMEM;
    uint64_t i = count;
    for (Node* c = node_->first_child; c != nullptr; c = c->next_sibling) children[--i] = c;
    for (; position_ - 2 < count; ++position_) {
      const Node* child = children[position_ - 2];
      if (child->inode == nullptr) continue;
      if (!out.Put(child->inode->number, Next(), KindOf(child->inode->type), child->name)) break;
    }
    Free(children);
    return out.End();
  }

 private:
  int64_t Next() const { return static_cast<int64_t>(position_ + 1); }

  uint32_t mounts_ = 0;  // those within that were listed
};

class SpecialDirectoryFile final : public File {
 public:
  SpecialDirectoryFile(SpecialDirectory* special, const char* rest) : special_(special) {
    const size_t length = strlen(rest);
    memcpy(rest_, rest, length < sizeof rest_ ? length + 1 : sizeof rest_ - 1);
  }
  int64_t GetStat(Stat* stat) override { return special_->GetStat(rest_, true, stat); }
  int64_t Read(void*, uint64_t) override { return -EISDIR; }
  int64_t Seek(int64_t offset, int) override {
    position_ = static_cast<uint64_t>(offset);
    return offset;
  }
  int64_t ReadDirectory(void* user, uint64_t size) override {
    DirectoryWriter out(user, size);
    for (;; ++position_) {
      uint8_t type = kTypeDirectory;
      const char* name = position_ == 0   ? "."
                         : position_ == 1 ? ".."
                                          : special_->List(rest_, position_ - 2, &type);
      if (name == nullptr || !out.Put(1, static_cast<int64_t>(position_ + 1), type, name)) break;
    }
    return out.End();
  }

 private:
  SpecialDirectory* special_;
  char rest_[256] = {};
  uint64_t position_ = 0;
};

}  // namespace

File* NewRegularFile(Inode* inode, Node* node) { return New<RegularFile>(inode, node); }
File* NewDirectoryFile(Node* node) { return New<DirectoryFile>(node); }
File* NewSpecialDirectoryFile(SpecialDirectory* special, const char* rest) {
  return New<SpecialDirectoryFile>(special, rest);
}

Inode* InodeOf(File* file) {
  TreeFile* tree = TreeFile::From(file);
  return tree != nullptr && tree->kind() == Kind::kRegular ? tree->inode() : nullptr;
}

Node* DirectoryOf(File* file) {
  TreeFile* tree = TreeFile::From(file);
  return tree != nullptr && tree->kind() == Kind::kDirectory ? tree->node() : nullptr;
}

}  // namespace usetl::kernel
