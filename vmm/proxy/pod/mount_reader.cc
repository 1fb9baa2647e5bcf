#include "vmm/proxy/pod/mount_reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "vmm/proxy/pod/mount_paths.h"

namespace usetl::pod {
namespace {

using abi::FileType;

// A record of getdents64(2), before its name.
struct ListedName {
  uint64_t inode;
  int64_t next;
  uint16_t size;
  uint8_t type;
};
constexpr size_t kNameAt = 19;  // without the padding of the structure

// Where the path's name behind the first `count` begins; npos: there are no more.
size_t BehindNames(std::string_view path, uint64_t count) {
  size_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    at = path.find('/', at);
    if (at == path.npos) return at;
    ++at;
  }
  return at;
}

// Of a name whose type the file system did not say.
uint8_t TypeOf(int directory, const char* name) {
  struct stat info;
  if (fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return DT_UNKNOWN;
  return IFTODT(info.st_mode);
}

// The mount itself, or what the path names: a link too, for the guest has followed those that it
// meant to.
Fd OpenHere(int root, const MountOrder& order) {
  const std::string path(order.path.empty() ? "." : order.path);
  return OpenBelow(root, path, O_PATH | O_NOFOLLOW);
}

}  // namespace

std::vector<uint8_t> MountAnswer::Pack() const {
  abi::MountDone head = done;
  head.files = static_cast<uint32_t>(files.size());
  head.text_size = static_cast<uint32_t>(text.size());
  const size_t files_size = files.size() * sizeof(abi::MountedFile);
  std::vector<uint8_t> bytes(sizeof head + files_size + text.size());
  std::memcpy(bytes.data(), &head, sizeof head);
  if (files_size != 0) std::memcpy(bytes.data() + sizeof head, files.data(), files_size);
  std::ranges::copy(text, bytes.begin() + static_cast<ptrdiff_t>(sizeof head + files_size));
  return bytes;
}

Result<MountAnswer> MountAnswer::Unpack(std::span<const uint8_t> bytes) {
  MountAnswer answer;
  if (bytes.size() < sizeof answer.done) return Status(EPROTO, "an answer of mounts: too short");
  std::memcpy(&answer.done, bytes.data(), sizeof answer.done);
  bytes = bytes.subspan(sizeof answer.done);
  const uint64_t files_size = uint64_t{answer.done.files} * sizeof(abi::MountedFile);
  if (answer.done.files > abi::kMaxLookNames || answer.done.text_size > abi::kMaxListBytes ||
      files_size + answer.done.text_size != bytes.size()) {
    return Status(EPROTO, "an answer of mounts: sizes do not match");
  }
  answer.files.resize(answer.done.files);
  if (files_size != 0) std::memcpy(answer.files.data(), bytes.data(), files_size);
  answer.text.assign(bytes.begin() + static_cast<ptrdiff_t>(files_size), bytes.end());
  return answer;
}

MountAnswer LookAtNames(int root, const MountOrder& order) {
  const std::string_view path = order.path;
  MountAnswer answer = MountAnswer::Error(0);
  if (path.empty()) {
    struct stat info;
    if (fstat(root, &info) != 0) return MountAnswer::Error(errno);
    answer.files.push_back(Describe(info));
    return answer;
  }
  const size_t begin = BehindNames(path, order.change.position);
  const std::string before(path.substr(0, begin == path.npos ? path.size() : begin));
  Fd directory = OpenBelow(root, before.empty() ? "." : before, O_PATH | O_DIRECTORY);
  if (!directory.ok()) return MountAnswer::Error(errno == ELOOP ? ENOENT : errno);
  for (size_t at = begin; at < path.size() && answer.files.size() < abi::kMaxLookNames;) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string name(path.substr(at, end - at));
    Fd found = OpenBelow(directory.get(), name, O_PATH | O_NOFOLLOW);
    struct stat info;
    answer.done.error = found.ok() && fstat(found.get(), &info) == 0 ? 0 : errno;
    if (answer.done.error != 0) break;
    abi::MountedFile file = Describe(info);
    if (file.type == FileType::kNone) {
      answer.done.error = ENOENT;
      break;
    }
    if (file.type == FileType::kSymlink) {
      std::array<char, PATH_MAX> target;
      const ssize_t size = readlinkat(found.get(), "", target.data(), target.size());
      if (size <= 0) return MountAnswer::Error(size < 0 ? errno : ENOENT);
      answer.text.assign(target.data(), static_cast<size_t>(size));
      file.size = static_cast<uint64_t>(size);
    }
    answer.files.push_back(file);
    if (file.type != FileType::kDirectory) break;
    directory = std::move(found);
    at = end + 1;
  }
  return answer;
}

MountAnswer ListNames(int root, const MountOrder& order) {
  const std::string path(order.path.empty() ? "." : order.path);
  const Fd directory = OpenBelow(root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
  if (!directory.ok()) return MountAnswer::Error(errno);
  if (order.change.position > INT64_MAX ||
      lseek(directory.get(), static_cast<off_t>(order.change.position), SEEK_SET) < 0) {
    return MountAnswer::Error(EINVAL);
  }
  MountAnswer answer = MountAnswer::Error(0);
  answer.done.size = order.change.position;
  std::array<char, abi::kMaxListBytes> records;
  // What is of no use in a USF is left out: a piece may be empty and not be the end.
  while (answer.text.empty()) {
    const long count = syscall(SYS_getdents64, directory.get(), records.data(), records.size());
    if (count < 0) return MountAnswer::Error(errno);
    if (count == 0) break;
    for (long at = 0; at < count;) {
      ListedName record{};
      std::memcpy(&record, records.data() + at, kNameAt);
      const char* name = records.data() + at + kNameAt;
      if (record.type == DT_UNKNOWN) record.type = TypeOf(directory.get(), name);
      if (record.type == DT_REG || record.type == DT_DIR || record.type == DT_LNK) {
        std::memcpy(records.data() + at, &record, kNameAt);
        answer.text.append(records.data() + at, record.size);
      }
      answer.done.size = static_cast<uint64_t>(record.next);
      at += record.size;
    }
  }
  return answer;
}

int CheckAccess(int root, const MountOrder& order) {
  constexpr uint32_t kKnown = R_OK | W_OK | X_OK;
  if ((order.change.mode & ~kKnown) != 0) return EINVAL;
  const Fd file = OpenHere(root, order);
  if (!file.ok()) return errno;
  // Effective ids: the real ones are the same, but capabilities that were dropped count.
  const long allowed = syscall(kAccessAt, file.get(), "", static_cast<int>(order.change.mode),
                               AT_EMPTY_PATH | AT_EACCESS);
  return allowed == 0 ? 0 : errno;
}

MountAnswer SpaceBelow(int root, const MountOrder& order) {
  const Fd file = OpenHere(root, order);
  return file.ok() ? SpaceOf(file.get()) : MountAnswer::Error(errno);
}

MountAnswer SpaceOf(int file) {
  struct statfs info;
  if (fstatfs(file, &info) != 0) return MountAnswer::Error(errno);
  abi::MountedSpace space{};
  space.type = static_cast<uint64_t>(info.f_type);
  space.flags = static_cast<uint64_t>(info.f_flags);
  space.block_size = static_cast<uint64_t>(info.f_bsize);
  space.fragment_size = static_cast<uint64_t>(info.f_frsize);
  space.blocks = info.f_blocks;
  space.free = info.f_bfree;
  space.available = info.f_bavail;
  space.files = info.f_files;
  space.free_files = info.f_ffree;
  space.name_length = static_cast<uint64_t>(info.f_namelen);
  MountAnswer answer = MountAnswer::Error(0);
  answer.text.assign(reinterpret_cast<const char*>(&space), sizeof space);
  return answer;
}

}  // namespace usetl::pod
