#include "vmm/pack/pack_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>

namespace usetl::pack {

using abi::PackEntry;
using abi::PackHeader;
using abi::PackType;

Result<Pack> OpenPack(const std::string& path, bool with_digest) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.ok()) return Status::Errno("open pack " + path);
  return AdoptPack(std::move(fd), path, with_digest);
}

Result<Pack> AdoptPack(Fd fd, const std::string& name, bool with_digest) {
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return Status::Errno("open pack " + name);
  if (!S_ISREG(info.st_mode)) return Status(EINVAL, "open pack " + name + ": not a file");
  if (info.st_size == 0) {
    return Status(EBADMSG, "open pack " + name + ": empty");
  }
  void* base = mmap(nullptr, info.st_size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (base == MAP_FAILED) return Status::Errno("map pack " + name);
  Pack pack(std::move(fd), Mapping(base, info.st_size));
  if (Status status = CheckPack(pack.bytes(), with_digest); !status.ok()) {
    return status.Annotate("open pack " + name);
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
  if (directory.type != PackType::kDirectory && directory.type != PackType::kOpaqueDirectory) {
    return nullptr;
  }
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
