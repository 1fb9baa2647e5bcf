#include "vmm/pack/pack_reader.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

namespace usetl::pack {
namespace {

using abi::PackEntry;
using abi::PackHeader;
using abi::PackType;

constexpr uint32_t kMaxName = 255;
constexpr uint64_t kMaxTarget = 4095;

constexpr bool IsDirectory(PackType type) {
  return type == PackType::kDirectory || type == PackType::kOpaqueDirectory;
}

constexpr bool Inside(uint64_t offset, uint64_t size, uint64_t from, uint64_t to) {
  return offset >= from && offset <= to && size <= to - offset;
}

Status Broken(const char* rule) { return Status(EBADMSG, std::string("malformed pack: ") + rule); }

Status Broken(uint32_t entry, const char* rule) {
  return Status(EBADMSG, "malformed pack: entry " + std::to_string(entry) + ": " + rule);
}

class Checker {
 public:
  explicit Checker(std::span<const uint8_t> bytes)
      : bytes_(bytes),
        header_(*reinterpret_cast<const PackHeader*>(bytes.data())),
        entries_(reinterpret_cast<const PackEntry*>(bytes.data() + sizeof(PackHeader))) {}

  Status Header() const {
    if (header_.magic != abi::kPackMagic) return Broken("not a pack");
    if (header_.abi_version != abi::kAbiVersion) {
      return Status(EPROTO, "pack of ABI version " + std::to_string(header_.abi_version) +
                                ", not " + std::to_string(abi::kAbiVersion) + ": import it again");
    }
    if (header_.size != bytes_.size() || header_.size % abi::kPageSize != 0) return Broken("size");
    const uint64_t room = (header_.size - sizeof(PackHeader)) / sizeof(PackEntry);
    if (header_.entry_count == 0 || header_.entry_count > room) return Broken("entry_count");
    if (header_.names_offset != sizeof(PackHeader) + header_.entry_count * sizeof(PackEntry)) {
      return Broken("names_offset");
    }
    if (!Inside(header_.names_offset, header_.names_size, 0, header_.size)) {
      return Broken("names_size");
    }
    if (header_.data_offset % abi::kPageSize != 0 || header_.data_offset > header_.size ||
        header_.data_offset < names_end()) {
      return Broken("data_offset");
    }
    return header_.reserved == 0 ? Status() : Broken("reserved");
  }

  // Directories take the entries after the root in order and without a gap, each entry being the child
  // of an earlier one: so there is no cycle, and everything has one place.
  Status Entries() const {
    if (!IsDirectory(entries_[0].type) || entries_[0].parent != 0 || entries_[0].name_size != 0) {
      return Broken("root");
    }
    uint64_t next = 1;
    for (uint32_t i = 0; i < header_.entry_count; ++i) {
      const PackEntry& entry = entries_[i];
      if (i >= next) return Broken(i, "in no directory");
      if (entry.mode > 07777) return Broken(i, "mode");
      USETL_RETURN_IF_ERROR(Name(i));
      if (entry.hard_link != i) USETL_RETURN_IF_ERROR(HardLink(i));
      if (!IsDirectory(entry.type)) {
        USETL_RETURN_IF_ERROR(Content(i));
        continue;
      }
      if (entry.offset != next || entry.size > header_.entry_count - next) {
        return Broken(i, "children");
      }
      for (uint64_t child = next; child < next + entry.size; ++child) {
        if (entries_[child].parent != i) return Broken(child, "parent");
      }
      next += entry.size;
    }
    return Status();
  }

  Status Digest() const {
    uint8_t digest[EVP_MAX_MD_SIZE];
    const auto body = bytes_.subspan(sizeof(PackHeader));
    if (EVP_Digest(body.data(), body.size(), digest, nullptr, EVP_sha256(), nullptr) != 1) {
      return Status(EIO, "cannot compute SHA-256");
    }
    const bool same = std::memcmp(digest, header_.digest, sizeof(header_.digest)) == 0;
    return same ? Status() : Broken("digest");
  }

 private:
  uint64_t names_end() const { return header_.names_offset + header_.names_size; }

  std::string_view NameOf(uint32_t i) const {
    const PackEntry& entry = entries_[i];
    return {reinterpret_cast<const char*>(bytes_.data() + entry.name_offset), entry.name_size};
  }

  Status Name(uint32_t i) const {
    const PackEntry& entry = entries_[i];
    if (!Inside(entry.name_offset, entry.name_size, header_.names_offset, names_end())) {
      return Broken(i, "name_offset");
    }
    if (i == 0) return Status();
    if (entry.name_size == 0 || entry.name_size > kMaxName) return Broken(i, "name_size");
    const std::string_view name = NameOf(i);
    if (name.find('/') != name.npos || name.find('\0') != name.npos) return Broken(i, "name");
    if (name == "." || name == "..") return Broken(i, "name");
    // The sibling before this one was checked before. (Views compare bytes as unsigned.)
    const bool has_sibling = i > 1 && entries_[i - 1].parent == entry.parent;
    if (has_sibling && NameOf(i - 1) >= name) return Broken(i, "order of names");
    return Status();
  }

  Status HardLink(uint32_t i) const {
    const PackEntry& entry = entries_[i];
    if (entry.hard_link > i || entry.type != PackType::kRegular) return Broken(i, "hard_link");
    const PackEntry& first = entries_[entry.hard_link];
    const bool same = first.hard_link == entry.hard_link && first.type == entry.type &&
                      first.offset == entry.offset && first.size == entry.size &&
                      first.mode == entry.mode && first.uid == entry.uid &&
                      first.gid == entry.gid && first.modified_ns == entry.modified_ns;
    return same ? Status() : Broken(i, "hard_link");
  }

  Status Content(uint32_t i) const {
    const PackEntry& entry = entries_[i];
    switch (entry.type) {
      case PackType::kRegular:
        if (entry.offset % abi::kPageSize != 0) return Broken(i, "alignment");
        return Inside(entry.offset, entry.size, header_.data_offset, header_.size)
                   ? Status()
                   : Broken(i, "content");
      case PackType::kSymlink: {
        if (entry.size == 0 || entry.size > kMaxTarget ||
            !Inside(entry.offset, entry.size, header_.names_offset, names_end())) {
          return Broken(i, "target");
        }
        const void* nul = std::memchr(bytes_.data() + entry.offset, 0, entry.size);
        return nul == nullptr ? Status() : Broken(i, "target");
      }
      case PackType::kWhiteout:
        return entry.size == 0 && entry.offset == 0 ? Status() : Broken(i, "whiteout");
      default:
        return Broken(i, "type");
    }
  }

  const std::span<const uint8_t> bytes_;
  const PackHeader& header_;
  const PackEntry* const entries_;
};

}  // namespace

Status CheckPack(std::span<const uint8_t> bytes, bool with_digest) {
  if (bytes.size() < sizeof(PackHeader)) return Broken("too short");
  const Checker checker(bytes);
  USETL_RETURN_IF_ERROR(checker.Header());
  USETL_RETURN_IF_ERROR(checker.Entries());
  return with_digest ? checker.Digest() : Status();
}

Result<Pack> OpenPack(const std::string& path, bool with_digest) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info;
  if (!fd.ok() || fstat(fd.get(), &info) != 0) return Status::Errno("open pack " + path);
  if (!S_ISREG(info.st_mode)) return Status(EINVAL, "open pack " + path + ": not a file");
  if (info.st_size == 0) return Broken("empty").Annotate("open pack " + path);
  void* base = mmap(nullptr, info.st_size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (base == MAP_FAILED) return Status::Errno("map pack " + path);
  Pack pack(std::move(fd), Mapping(base, info.st_size));
  if (Status status = CheckPack(pack.bytes(), with_digest); !status.ok()) {
    return status.Annotate("open pack " + path);
  }
  return pack;
}

const PackHeader& Pack::header() const {
  return *reinterpret_cast<const PackHeader*>(mapping_.data());
}

std::span<const PackEntry> Pack::entries() const {
  const auto* first = reinterpret_cast<const PackEntry*>(mapping_.data() + sizeof(PackHeader));
  return {first, header().entry_count};
}

std::string_view Pack::Name(const PackEntry& entry) const {
  return {reinterpret_cast<const char*>(mapping_.data() + entry.name_offset), entry.name_size};
}

std::span<const uint8_t> Pack::Content(const PackEntry& entry) const {
  if (entry.type != PackType::kRegular && entry.type != PackType::kSymlink) return {};
  return bytes().subspan(entry.offset, entry.size);
}

const PackEntry* Pack::Child(const PackEntry& directory, std::string_view name) const {
  if (!IsDirectory(directory.type)) return nullptr;
  const auto children = entries().subspan(directory.offset, directory.size);
  const auto found = std::lower_bound(
      children.begin(), children.end(), name,
      [this](const PackEntry& entry, std::string_view n) { return Name(entry) < n; });
  return found != children.end() && Name(*found) == name ? &*found : nullptr;
}

const PackEntry* Pack::Find(std::string_view path) const {
  const PackEntry* entry = &entries()[0];
  while (entry != nullptr && !path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) entry = Child(*entry, path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return entry;
}

}  // namespace usetl::pack
