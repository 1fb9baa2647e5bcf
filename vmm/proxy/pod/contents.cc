#include "vmm/proxy/pod/contents.h"

#include <sys/stat.h>

namespace usetl::pod {
namespace {

using abi::FileType;

constexpr size_t kMaxComponent = 255;

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

Status Contents::AddFile(std::string_view path, Item item) {
  Result<std::string> clean = CleanPath(path);
  if (!clean.ok()) return clean.status();
  // Links on the way lead elsewhere, as they would for any program.
  for (size_t at = clean->find('/'); at != clean->npos; at = clean->find('/', at + 1)) {
    const auto parent = items_.find(std::string_view(*clean).substr(0, at));
    if (parent != items_.end() && parent->second.type == FileType::kRegular) {
      return Status(ENOTDIR, std::string(path) + ": /" + parent->first + " is a file");
    }
  }
  if (item.type != FileType::kDirectory || item.mount != 0) EraseBelow(*clean);
  items_.insert_or_assign(*clean, item);
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
                {.type = FileType::kDirectory, .mode = directory.mode, .mount = directory.mount}));
  }
  for (const StartRequest::File& file : request.files) {
    if (file.offset > most || file.size > most - file.offset) {
      return Status(EINVAL, file.path + ": not within the contents");
    }
    USETL_RETURN_IF_ERROR(AddFile(file.path, {.type = FileType::kRegular,
                                              .mode = file.mode,
                                              .file = request.contents.get(),
                                              .offset = file.offset,
                                              .size = file.size,
                                              .mount = file.mount}));
  }
  for (const StartRequest::Link& link : request.links) {
    if (link.target.empty() || link.target.size() > abi::kMaxName) {
      return Status(EINVAL, link.path + ": a link to nothing");
    }
    USETL_RETURN_IF_ERROR(AddFile(link.path, {.type = FileType::kSymlink,
                                              .mode = 0777,
                                              .target = link.target,
                                              .size = link.target.size()}));
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

Status Contents::CheckRoom(const HostRegion& region) const {
  const uint64_t entries = items_.size();
  uint64_t pages = 0;
  for (const auto& [name, item] : items_) pages += PagesOf(item.size + name.size());
  const uint64_t room = region.free_bytes() / 4 * 3;
  if (entries > abi::kMountEntries) {
    return Status(ENOSPC, "the container's mounts are " + std::to_string(entries) +
                              " files, a USF takes " + std::to_string(abi::kMountEntries) +
                              "; mount a part of them, or have the function's image hold them");
  }
  if (pages * abi::kPageSize > room) {
    return Status(ENOSPC, "the container's mounts take " +
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
      if (BelowLink(it->first) != below_links) continue;
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
        status = region->ReplaceLink(name, item.target);
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
      return region->AddLink(path, item.target);
    default:
      return region->AddFileFrom(path, item.file, item.offset, item.size, item.mode, item.mount);
  }
}

Status UpdateMount(const StartRequest& request, HostRegion* region) {
  Contents contents;
  USETL_RETURN_IF_ERROR(contents.AddFiles(request));
  return contents.Update(request.path, region);
}

Status PublishContents(const StartRequest& request, HostRegion* region) {
  Contents contents;
  USETL_RETURN_IF_ERROR(contents.AddFiles(request));
  USETL_RETURN_IF_ERROR(contents.Publish(region));
  if (!request.read_only_root) return Status();
  return region->AddDirectory("/", 0755, abi::kReadOnlyMount);
}

}  // namespace usetl::pod
