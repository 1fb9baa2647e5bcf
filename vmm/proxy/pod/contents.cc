#include "vmm/proxy/pod/contents.h"

#include <sys/stat.h>

namespace usetl::pod {
namespace {

using abi::FileType;
using abi::PackEntry;
using abi::PackType;

constexpr uint32_t kEntriesForBodies = 127;
constexpr uint16_t kPlainDirectory = 0755;
constexpr size_t kMaxComponent = 255;

std::string_view AsText(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint64_t PagesOf(uint64_t size) { return (size + abi::kPageSize - 1) / abi::kPageSize; }

// The path without its leading '/'. EINVAL: it has parts that no name in a directory has.
Result<std::string> CleanPath(std::string_view path) {
  const auto bad = [&](const char* why) { return Status(EINVAL, std::string(path) + ": " + why); };
  std::string clean(path.substr(1));
  while (!clean.empty() && clean.back() == '/') clean.pop_back();
  if (clean.empty()) return bad("the root itself");
  if (clean.size() > abi::kMaxHostName) return bad("the path is too long");
  for (size_t at = 0; at <= clean.size();) {
    const size_t end = std::min(clean.find('/', at), clean.size());
    const std::string_view part = std::string_view(clean).substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return bad("not a plain path");
    if (part.size() > kMaxComponent) return bad("a name is too long");
    at = end + 1;
  }
  return clean;
}

}  // namespace

void Contents::EraseBelow(std::string_view path) {
  const std::string prefix = std::string(path) + "/";
  auto it = items_.lower_bound(prefix);
  while (it != items_.end() && it->first.starts_with(prefix)) it = items_.erase(it);
}

void Contents::Add(const std::string& path, Item item) {
  if (item.type != FileType::kDirectory) EraseBelow(path);
  items_.insert_or_assign(path, item);
}

Status Contents::AddDirectory(const pack::Pack& pack, const PackEntry& directory,
                              const std::string& path) {
  const auto children = pack.entries().subspan(directory.offset, directory.size);
  for (const PackEntry& entry : children) {
    const std::string name = path + std::string(pack.Name(entry));
    if (name.size() > abi::kMaxHostName) {
      return Status(ENAMETOOLONG, "/" + name + ": the path is too long");
    }
    switch (entry.type) {
      case PackType::kRegular: {
        const std::string_view bytes = AsText(pack.Content(entry));
        Add(name, {FileType::kRegular, entry.mode, bytes, -1, 0, bytes.size()});
        break;
      }
      case PackType::kSymlink: {
        const std::string_view target = AsText(pack.Content(entry));
        Add(name, {FileType::kSymlink, 0777, target, -1, 0, target.size()});
        break;
      }
      case PackType::kWhiteout:
        EraseBelow(name);
        items_.erase(name);
        break;
      case PackType::kOpaqueDirectory:
        EraseBelow(name);
        [[fallthrough]];
      case PackType::kDirectory:
        Add(name, {FileType::kDirectory, entry.mode, {}, -1, 0, 0});
        USETL_RETURN_IF_ERROR(AddDirectory(pack, entry, name + "/"));
        break;
    }
  }
  return Status();
}

Status Contents::AddLayer(const pack::Pack& pack) {
  const PackEntry& root = pack.entries()[0];
  if (root.type == PackType::kOpaqueDirectory) items_.clear();
  return AddDirectory(pack, root, "");
}

Status Contents::AddFile(std::string_view path, Item item) {
  Result<std::string> clean = CleanPath(path);
  if (!clean.ok()) return clean.status();
  // Links of layers on the way lead elsewhere, as they would for any program.
  for (size_t at = clean->find('/'); at != clean->npos; at = clean->find('/', at + 1)) {
    const auto parent = items_.find(std::string_view(*clean).substr(0, at));
    if (parent != items_.end() && parent->second.type == FileType::kRegular) {
      return Status(ENOTDIR, std::string(path) + ": /" + parent->first + " is a file");
    }
  }
  // A mount hides what the layers have there.
  if (item.mount != 0) {
    items_.erase(*clean);
    EraseBelow(*clean);
  }
  if (item.type != FileType::kDirectory || !items_.contains(*clean) ||
      items_.at(*clean).type != FileType::kSymlink) {
    Add(*clean, item);
  }
  return Status();
}

Status Contents::AddFiles(const StartRequest& request) {
  struct stat info {};
  if (request.contents.ok()) {
    if (fstat(request.contents.get(), &info) != 0) return Status::Errno("the container's contents");
    if (!S_ISREG(info.st_mode)) return Status(EINVAL, "the container's contents are no file");
  }
  const auto most = static_cast<uint64_t>(info.st_size);
  for (const StartRequest::Directory& directory : request.directories) {
    USETL_RETURN_IF_ERROR(
        AddFile(directory.path,
                {FileType::kDirectory, directory.mode, {}, -1, 0, 0, directory.mount, true}));
  }
  for (const StartRequest::File& file : request.files) {
    if (file.offset > most || file.size > most - file.offset) {
      return Status(EINVAL, file.path + ": not within the contents");
    }
    USETL_RETURN_IF_ERROR(AddFile(file.path, {FileType::kRegular,
                                              file.mode,
                                              {},
                                              request.contents.get(),
                                              file.offset,
                                              file.size,
                                              file.mount}));
  }
  for (const StartRequest::Link& link : request.links) {
    if (link.target.empty() || link.target.size() > abi::kMaxName) {
      return Status(EINVAL, link.path + ": a link to nothing");
    }
    USETL_RETURN_IF_ERROR(
        AddFile(link.path, {FileType::kSymlink, 0777, link.target, -1, 0, link.target.size()}));
  }
  return Status();
}

bool Contents::BelowLink(std::string_view path) const {
  for (size_t at = path.find('/'); at != path.npos; at = path.find('/', at + 1)) {
    const auto parent = items_.find(path.substr(0, at));
    if (parent != items_.end() && parent->second.type == FileType::kSymlink) return true;
  }
  return false;
}

bool Contents::HasChildren(Items::const_iterator directory) const {
  const std::string prefix = directory->first + "/";
  const auto next = items_.lower_bound(prefix);
  return next != items_.end() && next->first.starts_with(prefix);
}

bool Contents::Needed(Items::const_iterator item) const {
  return item->second.type != FileType::kDirectory || item->second.mode != kPlainDirectory ||
         item->second.mount != 0 || item->second.listed || !HasChildren(item);
}

Status Contents::CheckRoom(const HostRegion& region) const {
  uint64_t entries = 0, pages = 0;
  for (auto it = items_.begin(); it != items_.end(); ++it) {
    if (!Needed(it)) continue;
    ++entries;
    pages += PagesOf(it->second.size + it->first.size());
  }
  constexpr uint64_t kMostEntries = abi::kHostEntries - kEntriesForBodies;
  const uint64_t room = region.free_bytes() / 4 * 3;
  if (entries > kMostEntries) {
    return Status(ENOSPC, "the container's image and files are " + std::to_string(entries) +
                              " files, a USF takes " + std::to_string(kMostEntries) +
                              " beyond those of its runtime");
  }
  if (pages * abi::kPageSize > room) {
    return Status(ENOSPC, "the container's image and files take " +
                              std::to_string((pages * abi::kPageSize >> 20) + 1) +
                              " MB, the host region has " + std::to_string(room >> 20) +
                              " MB for them (usetl up --region)");
  }
  return Status();
}

Status Contents::Publish(HostRegion* region) const {
  USETL_RETURN_IF_ERROR(CheckRoom(*region));
  // The guest follows a link on the way to a name once it knows where the link leads.
  for (const bool below_links : {false, true}) {
    for (auto it = items_.begin(); it != items_.end(); ++it) {
      if (!Needed(it) || BelowLink(it->first) != below_links) continue;
      const Status status = PublishOne(it->first, it->second, region);
      if (!status.ok()) return status.Annotate("/" + it->first);
    }
  }
  return Status();
}

Status Contents::Update(std::string_view mount, HostRegion* region) const {
  Result<std::string> top = CleanPath(mount);
  if (!top.ok()) return top.status();
  region->BeginUpdate();
  const std::string prefix = *top + "/";
  const auto update = [&](bool links) -> Status {
    for (auto it = items_.lower_bound(prefix); it != items_.end() && it->first.starts_with(prefix);
         ++it) {
      const auto& [name, item] = *it;
      if ((item.type == FileType::kSymlink) != links) continue;
      Status status;
      if (!region->Has(name)) {
        status = PublishOne(name, item, region);
      } else if (links) {
        status = region->ReplaceLink(name, item.bytes);
      }
      if (!status.ok()) return status.Annotate("/" + name);
    }
    return Status();
  };
  USETL_RETURN_IF_ERROR(update(/*links=*/false));
  USETL_RETURN_IF_ERROR(update(/*links=*/true));
  std::vector<std::string> names = region->NamesBelow(*top);
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!items_.contains(*name)) region->Remove(*name);
  }
  return Status();
}

Status Contents::PublishOne(const std::string& path, const Item& item, HostRegion* region) {
  switch (item.type) {
    case FileType::kDirectory:
      return region->AddDirectory(path, item.mode, item.mount);
    case FileType::kSymlink:
      return region->AddLink(path, item.bytes);
    default:
      break;
  }
  if (item.file >= 0) {
    return region->AddFileFrom(path, item.file, item.offset, item.size, item.mode, item.mount);
  }
  return region->AddFile(
      path, {reinterpret_cast<const uint8_t*>(item.bytes.data()), item.bytes.size()}, item.mode);
}

Status UpdateMount(const StartRequest& request, HostRegion* region) {
  Contents contents;
  USETL_RETURN_IF_ERROR(contents.AddFiles(request));
  return contents.Update(request.path, region);
}

namespace {

// Nothing may be changed but what is mounted to be, and where the agent puts answers that do not
// fit a record.
Status PublishReadOnlyRoot(HostRegion* region) {
  USETL_RETURN_IF_ERROR(region->AddDirectory("/", 0755, abi::kReadOnlyMount));
  return region->AddDirectory("run/usetl", 0755, abi::kPlainMount);
}

}  // namespace

Status PublishContents(StartRequest* request, HostRegion* region) {
  std::vector<pack::Pack> packs;
  Contents contents;
  for (Fd& fd : request->packs) {
    Result<pack::Pack> pack =
        pack::AdoptPack(std::move(fd), "layer " + std::to_string(packs.size()), false);
    if (!pack.ok()) return pack.status();
    packs.push_back(std::move(*pack));
    USETL_RETURN_IF_ERROR(contents.AddLayer(packs.back()));
  }
  USETL_RETURN_IF_ERROR(contents.AddFiles(*request));
  USETL_RETURN_IF_ERROR(contents.Publish(region));
  if (request->read_only_root) USETL_RETURN_IF_ERROR(PublishReadOnlyRoot(region));
  request->contents.Reset();
  request->packs.clear();
  return Status();
}

}  // namespace usetl::pod
