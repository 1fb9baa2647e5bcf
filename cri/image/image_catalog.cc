#include "cri/image/image_catalog.h"

#include <algorithm>

#include "cri/image/digest.h"
#include "cri/image/reference.h"

namespace usetl::image {
namespace {

constexpr size_t kMinPrefix = 6;

bool Holds(const std::vector<std::string>& sorted, const std::string& text) {
  return std::binary_search(sorted.begin(), sorted.end(), text);
}

void SortUnique(std::vector<std::string>* texts) {
  std::sort(texts->begin(), texts->end());
  texts->erase(std::unique(texts->begin(), texts->end()), texts->end());
}

}  // namespace

std::vector<std::string> Image::Digests() const {
  std::vector<std::string> digests = manifests;
  digests.push_back(id);
  digests.insert(digests.end(), layers.begin(), layers.end());
  return digests;
}

Result<ImagePtr> ImageList::Find(std::string_view reference) const {
  std::string_view hex = reference;
  const bool is_id = hex.starts_with("sha256:");
  if (is_id) hex.remove_prefix(7);
  // No name can pass for an id: not even that of a repository which is called sha256.
  const Result<Reference> name = Reference::Parse(reference);
  if (name.ok() && !is_id) {
    const std::string text = name->Text();
    for (const ImagePtr& image : images) {
      if (Holds(image->repo_tags, text) || Holds(image->repo_digests, text)) return image;
    }
  }
  ImagePtr found;
  if (hex.size() >= kMinPrefix && hex.size() <= 64 && IsHex(hex)) {
    for (const ImagePtr& image : images) {
      if (std::string_view(image->id).substr(7, hex.size()) != hex) continue;
      if (found) {
        return Status(EINVAL, "several images have ids that begin with " + std::string(hex));
      }
      found = image;
    }
  }
  if (found) return found;
  return Status(ENOENT, "no image " + std::string(reference.substr(0, 512)));
}

Result<Image> ImageCatalog::Load(const Descriptor& descriptor) const {
  const Result<std::string> text = store_.ReadDocument(descriptor.digest);
  if (!text.ok()) return text.status();
  const Result<Manifest> manifest = ParseManifest(*text);
  if (!manifest.ok()) return manifest.status();
  const Result<std::string> config_text = store_.ReadDocument(manifest->config.digest);
  if (!config_text.ok()) return config_text.status();
  Result<ImageConfig> config = ParseConfig(*config_text);
  if (!config.ok()) return config.status();
  if (config->diff_ids.size() != manifest->layers.size()) {
    return Status(EBADMSG, "manifest and config differ in the number of layers");
  }
  Image image;
  image.id = manifest->config.digest;
  image.manifests = {descriptor.digest};
  image.size = text->size() + config_text->size();
  for (const Descriptor& layer : manifest->layers) {
    image.size += layer.size;
    image.layers.push_back(layer.digest);
    image.packs.push_back(store_.PackPath(layer.digest));
  }
  image.chain_id = config->ChainId();
  image.config = std::move(*config);
  return image;
}

Result<std::shared_ptr<const ImageList>> ImageCatalog::Current() {
  const std::lock_guard lock(mutex_);
  if (store_.IsIndex(index_)) return list_;
  index_.Reset();
  // Opened before it is read: a change in between is seen the next time.
  Result<Fd> index = store_.OpenIndex();
  if (!index.ok()) return index.status();
  Result<std::shared_ptr<const ImageList>> list = Build();
  if (!list.ok()) return list;
  list_ = *list;
  // With a problem it is read anew each time, so that a repair is seen.
  if (list_->problems.empty()) index_ = std::move(*index);
  return list_;
}

Result<std::shared_ptr<const ImageList>> ImageCatalog::Build() {
  const Result<std::vector<IndexEntry>> entries = store_.ReadIndex();
  if (!entries.ok()) return entries.status();
  auto list = std::make_shared<ImageList>();
  std::map<std::string, Image> still_loaded, by_id;
  std::set<std::string> damaged;
  for (const IndexEntry& entry : *entries) {
    const std::string& digest = entry.manifest.digest;
    if (damaged.contains(digest)) continue;
    auto known = still_loaded.find(digest);
    if (known == still_loaded.end()) {
      const auto before = loaded_.find(digest);
      Result<Image> image =
          before != loaded_.end() ? Result<Image>(before->second) : Load(entry.manifest);
      if (!image.ok()) {
        damaged.insert(digest);
        list->problems.push_back("image " + (entry.name.empty() ? digest : entry.name) + ": " +
                                 image.status().message() + "; remove it or pull it anew");
        continue;
      }
      known = still_loaded.emplace(digest, std::move(*image)).first;
    }
    Image& image = by_id.emplace(known->second.id, known->second).first->second;
    image.manifests.push_back(digest);
    if (entry.name.empty()) continue;
    const bool is_digest = entry.name.find('@') != std::string::npos;
    (is_digest ? image.repo_digests : image.repo_tags).push_back(entry.name);
    image.pinned |= pinned_.contains(entry.name);
  }
  for (auto& [id, image] : by_id) {
    SortUnique(&image.repo_tags);
    SortUnique(&image.repo_digests);
    SortUnique(&image.manifests);
    list->images.push_back(std::make_shared<const Image>(std::move(image)));
  }
  loaded_ = std::move(still_loaded);
  return std::shared_ptr<const ImageList>(std::move(list));
}

}  // namespace usetl::image
