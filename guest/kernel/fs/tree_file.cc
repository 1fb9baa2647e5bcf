#include "guest/kernel/fs/tree_file.h"

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
    next_ = g_files;
    if (g_files != nullptr) g_files->previous_ = this;
    g_files = this;
  }
  ~TreeFile() override {
    (previous_ != nullptr ? previous_->next_ : g_files) = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
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
    const int64_t got = ReadInode(*inode_, user, size, position_);
    if (got > 0) position_ += got;
    return got;
  }
  int64_t Write(const void* user, uint64_t size) override {
    if (status_flags & kAppend) position_ = inode_->size;
    const int64_t put = WriteInode(inode_, user, size, position_);
    if (put > 0) position_ += put;
    return put;
  }
  int64_t ReadAt(void* user, uint64_t size, uint64_t offset) override {
    return ReadInode(*inode_, user, size, offset);
  }
  int64_t WriteAt(const void* user, uint64_t size, uint64_t offset) override {
    return WriteInode(inode_, user, size, (status_flags & kAppend) ? inode_->size : offset);
  }
  int64_t Seek(int64_t offset, int whence) override {
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
  int64_t Map(uint64_t offset, uint64_t, bool shared_writable, MapSource* source) override {
    if (shared_writable) {
      if ((status_flags & kAccessMode) != kReadWriteMode) return -EACCES;
      if (IsOfHost(inode_->home)) return -ENODEV;  // the host would not see what changes
      if (const int64_t error = EnsureWritable(inode_, inode_->size); error != 0) return error;
    }
    if (offset >= inode_->size) return -ENXIO;
    if (FillHoles(inode_) != 0) return -ENOMEM;
    if (inode_->own) ++inode_->pins;
    *source = {inode_->address + offset, inode_->size - offset, inode_->own};
    return 0;
  }

 private:
  int64_t FindPart(uint64_t offset, bool data) const {
    if (!inode_->sparse) return static_cast<int64_t>(data ? offset : inode_->size);
    return static_cast<int64_t>(data ? FindData(*inode_, offset) : FindHole(*inode_, offset));
  }
};

// Copies one linux_dirent64 out; false when it does not fit any more.
bool PutRecord(uint8_t* user, uint64_t size, uint64_t* done, uint64_t inode, int64_t next,
               uint8_t type, const char* name, bool* fault) {
  uint8_t buffer[sizeof(DirectoryRecord) + kMaxComponent + 8] = {};
  constexpr uint64_t kHead = 19;  // without the padding of the structure
  const uint64_t name_size = strlen(name);
  const uint64_t length = (kHead + name_size + 1 + 7) & ~7ull;
  if (*done + length > size) return false;
  const auto short_length = static_cast<uint16_t>(length);
  memcpy(buffer, &inode, 8);
  memcpy(buffer + 8, &next, 8);
  memcpy(buffer + 16, &short_length, 2);
  buffer[18] = type;
  memcpy(buffer + kHead, name, name_size + 1);
  if (!CopyToUser(user + *done, buffer, length)) {
    *fault = true;
    return false;
  }
  *done += length;
  return true;
}

constexpr uint8_t kTypeDirectory = 4, kTypeRegular = 8, kTypeLink = 10, kTypeSocket = 12;

uint8_t TypeOf(const Inode& inode) {
  switch (inode.type) {
    case InodeType::kDirectory:
      return kTypeDirectory;
    case InodeType::kSymlink:
      return kTypeLink;
    case InodeType::kSocket:
      return kTypeSocket;
    case InodeType::kRegular:
      break;
  }
  return kTypeRegular;
}

class DirectoryFile final : public TreeFile {
 public:
  explicit DirectoryFile(Node* node) : TreeFile(Kind::kDirectory, node->inode, node) {}

  int64_t Read(void*, uint64_t) override { return -EISDIR; }
  int64_t Seek(int64_t offset, int whence) override {
    if (whence == kSeekCurrent) offset += static_cast<int64_t>(position_);
    if (whence > kSeekCurrent || offset < 0) return -EINVAL;
    position_ = static_cast<uint64_t>(offset);
    return offset;
  }
  // Positions: 0 ".", 1 "..", then 2 + the child's index from the oldest. Children are put in
  // front, so an index stays right while names are added.
  int64_t ReadDirectory(void* user, uint64_t size) override {
    if (!CompleteDirectory(node_)) return -ENOMEM;
    auto* to = static_cast<uint8_t*>(user);
    uint64_t done = 0;
    bool fault = false;
    uint64_t count = 0;
    for (Node* c = node_->first_child; c != nullptr; c = c->next_sibling) ++count;
    if (count == 0 || position_ < 2) {
      for (; position_ < 2; ++position_) {
        const Node* n = position_ == 0 ? node_ : node_->parent;
        const uint64_t number = n->inode != nullptr ? n->inode->number : 1;
        if (!PutRecord(to, size, &done, number, static_cast<int64_t>(position_ + 1), kTypeDirectory,
                       position_ == 0 ? "." : "..", &fault)) {
          return Ended(done, fault);
        }
      }
    }
    if (position_ - 2 >= count) return static_cast<int64_t>(done);
    auto** children = static_cast<Node**>(Allocate(count * sizeof(Node*)));
    if (children == nullptr) return -ENOMEM;
    uint64_t i = count;
    for (Node* c = node_->first_child; c != nullptr; c = c->next_sibling) children[--i] = c;
    for (; position_ - 2 < count; ++position_) {
      const Node* child = children[position_ - 2];
      if (child->inode == nullptr) continue;
      if (!PutRecord(to, size, &done, child->inode->number, static_cast<int64_t>(position_ + 1),
                     TypeOf(*child->inode), child->name, &fault)) {
        Free(children);
        return Ended(done, fault);
      }
    }
    Free(children);
    return static_cast<int64_t>(done);
  }

 private:
  static int64_t Ended(uint64_t done, bool fault) {
    if (done != 0) return static_cast<int64_t>(done);
    return fault ? -EFAULT : -EINVAL;  // the buffer is too small for one record
  }
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
    uint64_t done = 0;
    bool fault = false;
    for (;; ++position_) {
      uint8_t type = kTypeDirectory;
      const char* name = position_ == 0   ? "."
                         : position_ == 1 ? ".."
                                          : special_->List(rest_, position_ - 2, &type);
      if (name == nullptr) break;
      if (!PutRecord(static_cast<uint8_t*>(user), size, &done, 1,
                     static_cast<int64_t>(position_ + 1), type, name, &fault)) {
        break;
      }
    }
    return fault && done == 0 ? -EFAULT : static_cast<int64_t>(done);
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
