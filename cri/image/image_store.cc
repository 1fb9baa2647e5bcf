#include "cri/image/image_store.h"

#include <curl/curl.h>
#include <fts.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "cri/image/layer_pack.h"

namespace usetl::image {
namespace {

constexpr auto kUnpackPoll = std::chrono::milliseconds(100);
constexpr uint64_t kStatBlock = 512;

}  // namespace

Result<std::unique_ptr<ImageStore>> ImageStore::Open(const std::string& directory,
                                                     const StoreConfig& config) {
  static const CURLcode curl = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (curl != CURLE_OK) return Status(EIO, "libcurl does not start");
  if (config.parallel_downloads < 1 || config.parallel_unpacks < 1 || config.retries < 0) {
    return Status(EINVAL, "image store: the numbers of parallel jobs must be at least 1");
  }
  USETL_RETURN_IF_ERROR(CheckConfig(config));
  std::set<std::string> pinned;
  for (const std::string& name : config.pinned) {
    const Result<Reference> reference = Reference::Parse(name);
    if (!reference.ok()) return reference.status().Annotate("pinned image");
    pinned.insert(reference->Text());
  }
  std::string absolute = directory;
  while (absolute.size() > 1 && absolute.ends_with('/')) absolute.pop_back();
  if (!absolute.starts_with('/')) return Status(EINVAL, "image store: the path must be absolute");
  Result<std::unique_ptr<ContentStore>> content = ContentStore::Open(absolute);
  if (!content.ok()) return content.status();
  return std::unique_ptr<ImageStore>(
      new ImageStore(std::move(*content), config, std::move(pinned)));
}

bool ImageStore::IsThere(const std::string& directory) {
  // The file is written last.
  return access((directory + "/oci-layout").c_str(), F_OK) == 0 ||
         (errno != ENOENT && errno != ENOTDIR);
}

ImageStore::ImageStore(std::unique_ptr<ContentStore> content, const StoreConfig& config,
                       std::set<std::string> pinned)
    : content_(std::move(content)),
      config_(config),
      catalog_(*content_, std::move(pinned)),
      unpacks_(config.parallel_unpacks) {}

Result<std::shared_ptr<const ImageList>> ImageStore::List() { return catalog_.Current(); }

Result<ImagePtr> ImageStore::Find(std::string_view reference) {
  const Result<std::shared_ptr<const ImageList>> list = List();
  if (!list.ok()) return list.status();
  return (*list)->Find(reference);
}

Status ImageStore::Remove(std::string_view reference) {
  const Status removed = content_->ChangeIndex([&](std::vector<IndexEntry>* entries) -> Status {
    // Within the lock, so that nobody adds a name between finding and removing.
    const Result<ImagePtr> image = Find(reference);
    if (image.ok()) {
      std::erase_if(*entries, [&](const IndexEntry& entry) {
        const std::vector<std::string>& manifests = (*image)->manifests;
        return std::binary_search(manifests.begin(), manifests.end(), entry.manifest.digest);
      });
      return Status();
    }
    if (image.status().code() != ENOENT) return image.status();
    // A damaged image is in no list but has its name in the index.
    const Result<Reference> name = Reference::Parse(reference);
    const std::string text = name.ok() ? name->Text() : std::string(reference);
    const size_t erased = std::erase_if(*entries, [&](const IndexEntry& entry) {
      return entry.name == text || entry.manifest.digest == text;
    });
    return erased > 0 ? Status() : image.status();
  });
  if (removed.code() == ENOENT) return Status();
  if (!removed.ok()) return removed;
  return CollectGarbage().status();
}

Result<ImageLease> ImageStore::Lease(std::string_view reference) {
  const Result<ImagePtr> image = Find(reference);
  if (!image.ok()) return image.status();
  Result<ContentLease> content = content_->Lease((*image)->Digests());
  if (!content.ok()) return content.status();
  // Removed before the lease was there? Then its packs may be gone.
  const Result<ImagePtr> still = Find((*image)->id);
  if (!still.ok()) return still.status();
  for (size_t i = 0; i < (*image)->layers.size(); ++i) {
    const std::string& layer = (*image)->layers[i];
    if (HasPack(*content_, layer)) continue;
    USETL_RETURN_IF_ERROR(Pack(layer, (*image)->config.diff_ids[i], {}));
  }
  return ImageLease(*image, std::move(*content));
}

Result<FsUsage> ImageStore::FsInfo() const {
  FsUsage usage;
  usage.mountpoint = content_->directory();
  char* const roots[] = {usage.mountpoint.data(), nullptr};
  FTS* walk = fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, nullptr);
  if (walk == nullptr) return Status::Errno("walk " + usage.mountpoint);
  std::set<ino_t> linked;  // packs that runtimes share with their images: once
  errno = 0;
  while (const FTSENT* entry = fts_read(walk)) {
    // What goes while it is looked at no longer counts.
    if (entry->fts_info != FTS_D && entry->fts_info != FTS_F) continue;
    if (entry->fts_info == FTS_F && entry->fts_statp->st_nlink > 1 &&
        !linked.insert(entry->fts_statp->st_ino).second) {
      continue;
    }
    usage.bytes += entry->fts_statp->st_blocks * kStatBlock;
    ++usage.inodes;
  }
  const int error = errno;
  fts_close(walk);
  if (error != 0 && error != ENOENT) return Status(error, "cannot walk " + usage.mountpoint);
  return usage;
}

Status ImageStore::AddNames(const Descriptor& manifest, const std::vector<std::string>& names) {
  return content_->ChangeIndex([&](std::vector<IndexEntry>* entries) {
    std::erase_if(*entries, [&](const IndexEntry& entry) {
      return std::find(names.begin(), names.end(), entry.name) != names.end() ||
             (entry.name.empty() && entry.manifest.digest == manifest.digest);
    });
    for (const std::string& name : names) entries->push_back({manifest, name});
    const bool named = std::any_of(entries->begin(), entries->end(), [&](const IndexEntry& entry) {
      return entry.manifest.digest == manifest.digest;
    });
    if (!named) entries->push_back({manifest, {}});
    return Status();
  });
}

Status ImageStore::Pack(const std::string& layer_digest, const std::string& diff_id,
                        const Cancelled& cancelled) {
  while (!unpacks_.try_acquire_for(kUnpackPoll)) {
    if (IsCancelled(cancelled)) return CancelledStatus();
  }
  const Status status = PackLayer(*content_, config_, layer_digest, diff_id, cancelled);
  unpacks_.release();
  return status;
}

}  // namespace usetl::image
