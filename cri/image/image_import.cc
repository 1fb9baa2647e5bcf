// Importing: what an archive calls its images and where their parts are; then as after a download.
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "cri/image/digest.h"
#include "cri/image/image_store.h"
#include "cri/image/import_source.h"
#include "cri/image/layer_work.h"
#include "vmm/base/json_text.h"

namespace usetl::image {
namespace {

constexpr int kMaxIndexLevels = 3;
constexpr size_t kMaxImages = 256;

std::string BlobName(const std::string& digest) { return "blobs/sha256/" + HexOf(digest); }

// What is missing in an archive is a fault of the archive.
Status AsContent(const Status& status) {
  return status.code() == ENOENT ? Status(EBADMSG, status.message()) : status;
}

}  // namespace

class ImportJob {
 public:
  ImportJob(ImageStore* store, ImportSource* source, const OnProgress& progress,
            const Cancelled& cancelled)
      : store_(store),
        content_(*store->content_),
        source_(*source),
        report_(progress),
        cancelled_(cancelled) {}

  Result<std::vector<std::string>> Run(std::string_view name) {
    // Archives of newer tools are of both kinds; the OCI one says more.
    const Result<std::string> layout = source_.Document("oci-layout");
    if (!layout.ok() && layout.status().code() != ENOENT) return layout.status();
    USETL_RETURN_IF_ERROR(layout.ok() ? ReadOciIndex() : ReadDockerManifest());
    if (!name.empty()) {
      const Result<Reference> reference = Reference::Parse(name);
      if (!reference.ok()) return reference.status();
      if (images_.size() != 1) {
        return Status(EINVAL, "a name can be given to a single image only; this holds " +
                                  std::to_string(images_.size()));
      }
      if (!reference->digest.empty()) return Status(EINVAL, "the name must be a tag's");
      images_[0].names = {reference->Text()};
    }
    std::vector<std::string> ids;
    for (const Image& image : images_) {
      const Result<std::string> id = Store(image);
      if (!id.ok()) return id.status();
      ids.push_back(*id);
    }
    return ids;
  }

 private:
  struct Image {
    std::string document;  // the manifest
    std::string digest;    // of the manifest
    std::string top;       // of the index that led to it, or the same
    std::vector<std::string> names;
    std::map<std::string, std::string> files;  // digests to names in the source
  };

  Status ReadOciIndex() {
    const Result<std::string> text = source_.Document("index.json");
    if (!text.ok()) return AsContent(text.status());
    const Result<std::vector<IndexItem>> items = ParseIndex(*text);
    if (!items.ok()) return items.status();
    if (items->size() > kMaxImages) return Status(EBADMSG, "holds more than 256 images");
    for (const IndexItem& item : *items) {
      if (IsForeign(item)) continue;
      std::vector<std::string> names;
      // A word alone is a tag without a repository: nothing that an image could be found by.
      if (item.name.find_first_of(":/@") != std::string::npos) {
        USETL_RETURN_IF_ERROR(AddName(item.name, item.descriptor.digest, &names));
      }
      USETL_RETURN_IF_ERROR(AddOciImage(item.descriptor.digest, std::move(names)));
    }
    return images_.empty() ? Status(ENOENT, "holds no image for linux/amd64") : Status();
  }

  Status AddOciImage(const std::string& top, std::vector<std::string> names) {
    std::string digest = top;
    for (int level = 0; level <= kMaxIndexLevels; ++level) {
      const Result<std::string> text = source_.Document(BlobName(digest));
      if (!text.ok()) return AsContent(text.status());
      if (DigestOf(*text) != digest) return Status(EBADMSG, "blob " + digest + " is another");
      const Result<DocumentKind> kind = KindOf(*text, "");
      if (!kind.ok()) return kind.status();
      if (*kind == DocumentKind::kManifest) {
        const auto same = std::find_if(images_.begin(), images_.end(), [&](const Image& image) {
          return image.digest == digest && image.top == top;
        });
        if (same == images_.end()) {
          images_.push_back({*text, digest, top, std::move(names), {}});
        } else {
          same->names.insert(same->names.end(), names.begin(), names.end());
        }
        return Status();
      }
      const Result<std::vector<IndexItem>> items = ParseIndex(*text);
      if (!items.ok()) return items.status();
      const Result<Descriptor> chosen = ChoosePlatform(*items);
      if (!chosen.ok()) return chosen.status();
      digest = chosen->digest;
    }
    return Status(EBADMSG, "indexes within indexes");
  }

  // manifest.json: [{"Config": NAME, "RepoTags": [...], "Layers": [NAMES of plain tars]}]
  Status ReadDockerManifest() {
    const Result<std::string> text = source_.Document("manifest.json");
    if (text.status().code() == ENOENT) {
      return Status(EBADMSG,
                    "neither an OCI layout (oci-layout) nor a docker archive "
                    "(manifest.json)");
    }
    if (!text.ok()) return text.status();
    const Result<nlohmann::json> list = ParseJson(*text, "manifest.json");
    if (!list.ok()) return Status(EBADMSG, list.status().message());
    if (!list->is_array() || list->empty() || list->size() > kMaxImages) {
      return Status(EBADMSG, "manifest.json is no list of images");
    }
    for (const nlohmann::json& item : *list) {
      USETL_RETURN_IF_ERROR(AddDockerImage(item));
    }
    return Status();
  }

  Status AddDockerImage(const nlohmann::json& item) {
    const nlohmann::json *config = Member(item, "Config"), *layers = Member(item, "Layers"),
                         *tags = Member(item, "RepoTags");
    if (config == nullptr || !config->is_string() || layers == nullptr || !layers->is_array() ||
        layers->size() > kMaxLayers || (tags != nullptr && !tags->is_array())) {
      return Status(EBADMSG, "manifest.json is malformed");
    }
    Image image;
    Manifest manifest;
    const auto describe = [&](const nlohmann::json& name, const char* type,
                              Descriptor* out) -> Status {
      if (!name.is_string()) return Status(EBADMSG, "manifest.json is malformed");
      const std::string& file = name.get_ref<const std::string&>();
      Result<Descriptor> descriptor = source_.Describe(file);
      if (!descriptor.ok()) return AsContent(descriptor.status());
      *out = *descriptor;
      out->media_type = type;
      image.files[out->digest] = file;
      return Status();
    };
    USETL_RETURN_IF_ERROR(describe(*config, kOciConfig, &manifest.config));
    for (const nlohmann::json& layer : *layers) {
      USETL_RETURN_IF_ERROR(describe(layer, kOciLayer, &manifest.layers.emplace_back()));
    }
    for (const nlohmann::json& tag : tags != nullptr ? *tags : nlohmann::json::array()) {
      if (!tag.is_string()) return Status(EBADMSG, "manifest.json is malformed");
      USETL_RETURN_IF_ERROR(AddName(tag.get_ref<const std::string&>(), "", &image.names));
    }
    image.document = MakeManifest(manifest);
    image.digest = image.top = DigestOf(image.document);
    images_.push_back(std::move(image));
    return Status();
  }

  // `digest`: the only one that the name may claim to be of.
  static Status AddName(std::string_view text, std::string_view digest,
                        std::vector<std::string>* names) {
    const Result<Reference> reference = Reference::Parse(text);
    if (!reference.ok()) return Status(EBADMSG, reference.status().message());
    if (!reference->digest.empty() && reference->digest != digest) {
      return Status(EBADMSG, "what is called " + reference->Text() + " is another image");
    }
    names->push_back(reference->Text());
    return Status();
  }

  Result<std::string> Store(const Image& image) {
    const Result<Manifest> manifest = ParseManifest(image.document);
    if (!manifest.ok()) return manifest.status();
    const Result<uint64_t> total = manifest->TotalSize(store_->config_.max_image_bytes);
    if (!total.ok()) return total.status();
    std::vector<std::string> digests = {image.digest, manifest->config.digest};
    for (const Descriptor& layer : manifest->layers) digests.push_back(layer.digest);
    const Result<ContentLease> lease = content_.Lease(digests);
    if (!lease.ok()) return lease.status();

    const auto put = [&](const Descriptor& part) {
      const auto file = image.files.find(part.digest);
      return AsContent(
          source_.PutBlob(file == image.files.end() ? BlobName(part.digest) : file->second, part));
    };
    USETL_RETURN_IF_ERROR(content_.PutDocument(image.digest, image.document));
    USETL_RETURN_IF_ERROR(put(manifest->config));
    const Result<std::string> text = content_.ReadDocument(manifest->config.digest);
    if (!text.ok()) return text.status();
    const Result<ImageConfig> config = ParseConfig(*text);
    if (!config.ok()) return config.status();
    if (config->diff_ids.size() != manifest->layers.size()) {
      return Status(EBADMSG, "manifest and config differ in the number of layers");
    }
    ProgressMeter meter(*manifest, report_);
    for (size_t i = 0; i < manifest->layers.size(); ++i) {
      USETL_RETURN_IF_ERROR(put(manifest->layers[i]));
      meter.SetBytes(i, manifest->layers[i].size);
    }
    const auto pack = [&](size_t i, const Cancelled& stop) -> Status {
      USETL_RETURN_IF_ERROR(store_->Pack(manifest->layers[i].digest, config->diff_ids[i], stop));
      meter.FinishLayer();
      return Status();
    };
    USETL_RETURN_IF_ERROR(
        ForEachLayer(manifest->layers.size(), store_->config_.parallel_unpacks, cancelled_, pack));
    const Descriptor descriptor = {manifest->media_type, image.digest, image.document.size()};
    USETL_RETURN_IF_ERROR(store_->AddNames(descriptor, WithDigests(image)));
    return manifest->config.digest;
  }

  // The image is found by its digest in each repository that it has a tag in.
  static std::vector<std::string> WithDigests(const Image& image) {
    std::vector<std::string> names = image.names;
    for (const std::string& name : image.names) {
      const Result<Reference> reference = Reference::Parse(name);
      names.push_back(reference->Name() + "@" + image.top);
      names.push_back(reference->Name() + "@" + image.digest);
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
  }

  ImageStore* const store_;
  const ContentStore& content_;
  ImportSource& source_;
  const OnProgress& report_;
  const Cancelled& cancelled_;
  std::vector<Image> images_;
};

Result<std::vector<std::string>> ImageStore::Import(const std::string& path, std::string_view name,
                                                    const OnProgress& progress,
                                                    const Cancelled& cancelled) {
  const std::string context = "import " + path;
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return Status::Errno(context);
  std::unique_ptr<ImportSource> source;
  if (S_ISDIR(info.st_mode)) {
    source = OpenDirectory(*content_, path, cancelled);
  } else {
    auto archive = OpenArchive(*content_, path, config_.max_image_bytes, cancelled);
    if (!archive.ok()) return archive.status().Annotate(context);
    source = std::move(*archive);
  }
  auto ids = ImportJob(this, source.get(), progress, cancelled).Run(name);
  if (!ids.ok()) return ids.status().Annotate(context);
  return ids;
}

}  // namespace usetl::image
