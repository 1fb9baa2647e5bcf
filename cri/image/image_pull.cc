// Pulling: manifest, config, layers, packs, and last the names.
#include <algorithm>

#include "cri/image/image_store.h"
#include "cri/image/layer_work.h"
#include "cri/image/registry.h"

namespace usetl::image {
namespace {

// An index may hold indexes; nobody needs more levels.
constexpr int kMaxIndexLevels = 3;

}  // namespace

class PullJob {
 public:
  PullJob(ImageStore* store, const Reference& reference, const Auth& auth,
          const OnProgress& progress, const Cancelled& cancelled)
      : store_(store),
        content_(*store->content_),
        reference_(reference),
        report_(progress),
        cancelled_(cancelled),
        registry_(store->config_, reference, auth),
        client_(store->config_, cancelled) {}

  Result<std::string> Run() {
    USETL_RETURN_IF_ERROR(FetchManifest());
    Result<Manifest> manifest = ParseManifest(document_.bytes);
    if (!manifest.ok()) return manifest.status();
    const Result<uint64_t> total = manifest->TotalSize(store_->config_.max_image_bytes);
    if (!total.ok()) return total.status();
    manifest_ = std::move(*manifest);

    std::vector<std::string> digests = {document_.digest, manifest_.config.digest};
    for (const Descriptor& layer : manifest_.layers) digests.push_back(layer.digest);
    const Result<ContentLease> lease = content_.Lease(digests);
    if (!lease.ok()) return lease.status();
    USETL_RETURN_IF_ERROR(content_.PutDocument(document_.digest, document_.bytes));
    USETL_RETURN_IF_ERROR(FetchConfig());
    USETL_RETURN_IF_ERROR(FetchLayers());
    USETL_RETURN_IF_ERROR(store_->AddNames(
        {manifest_.media_type, document_.digest, document_.bytes.size()}, Names()));
    return manifest_.config.digest;
  }

 private:
  // The manifest for this platform becomes document_; top_ is what the name stands for.
  Status FetchManifest() {
    std::string name = reference_.TagOrDigest();
    for (int level = 0; level <= kMaxIndexLevels; ++level) {
      Result<RegistryDocument> document = registry_.Manifest(&client_, name);
      if (!document.ok()) return document.status();
      if (level == 0) top_ = document->digest;
      const Result<DocumentKind> kind = KindOf(document->bytes, document->media_type);
      if (!kind.ok()) return kind.status();
      if (*kind == DocumentKind::kManifest) {
        document_ = std::move(*document);
        return Status();
      }
      const Result<std::vector<IndexItem>> items = ParseIndex(document->bytes);
      if (!items.ok()) return items.status();
      const Result<Descriptor> chosen = ChoosePlatform(*items);
      if (!chosen.ok()) return chosen.status();
      name = chosen->digest;
    }
    return Status(EBADMSG, "indexes within indexes");
  }

  Status FetchConfig() {
    Result<std::string> text = content_.ReadDocument(manifest_.config.digest);
    if (!text.ok()) {
      text = registry_.Document(&client_, manifest_.config);
      if (!text.ok()) return text.status();
      USETL_RETURN_IF_ERROR(content_.PutDocument(manifest_.config.digest, *text));
    }
    Result<ImageConfig> config = ParseConfig(*text);
    if (!config.ok()) return config.status();
    if (config->diff_ids.size() != manifest_.layers.size()) {
      return Status(EBADMSG, "manifest and config differ in the number of layers");
    }
    diff_ids_ = std::move(config->diff_ids);
    return Status();
  }

  Status FetchLayers() {
    ProgressMeter meter(manifest_, report_);
    const auto fetch = [&](size_t number, const Cancelled& stop) -> Status {
      const Descriptor& layer = manifest_.layers[number];
      Result<PartialBlob> blob = PartialBlob::Begin(content_, layer, stop);
      if (!blob.ok()) return blob.status();
      if (!blob->done()) {
        HttpClient client(store_->config_, stop);
        uint64_t held = blob->size();
        USETL_RETURN_IF_ERROR(registry_.Blob(&client, &*blob, [&](uint64_t bytes) {
          meter.SetBytes(number, bytes, bytes >= held ? bytes - held : bytes);
          held = bytes;
        }));
      }
      meter.SetBytes(number, layer.size);
      USETL_RETURN_IF_ERROR(store_->Pack(layer.digest, diff_ids_[number], stop));
      meter.FinishLayer();
      return Status();
    };
    return ForEachLayer(manifest_.layers.size(), store_->config_.parallel_downloads, cancelled_,
                        fetch);
  }

  // The name that was asked for, and those by digest: of the index, and of the manifest in it.
  std::vector<std::string> Names() const {
    std::vector<std::string> names = {reference_.Name() + "@" + top_};
    if (reference_.digest.empty()) names.push_back(reference_.Text());
    if (document_.digest != top_) names.push_back(reference_.Name() + "@" + document_.digest);
    return names;
  }

  ImageStore* const store_;
  const ContentStore& content_;
  const Reference reference_;
  const OnProgress& report_;
  const Cancelled& cancelled_;
  Registry registry_;
  HttpClient client_;

  std::string top_;
  RegistryDocument document_;
  Manifest manifest_;
  std::vector<std::string> diff_ids_;
};

Result<std::string> ImageStore::Pull(std::string_view reference, const Auth& auth,
                                     const OnProgress& progress, const Cancelled& cancelled) {
  const Result<Reference> name = Reference::Parse(reference);
  if (!name.ok()) return name.status();
  Result<std::string> id = PullJob(this, *name, auth, progress, cancelled).Run();
  if (!id.ok()) return id.status().Annotate("pull " + name->Text());
  return id;
}

}  // namespace usetl::image
