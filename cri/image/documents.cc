#include "cri/image/documents.h"

#include <algorithm>
#include <array>

#include "cri/image/digest.h"
#include "vmm/base/json_text.h"

namespace usetl::image {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxSize = uint64_t{1} << 62;
constexpr size_t kMaxStrings = 65536;
constexpr char kRefName[] = "org.opencontainers.image.ref.name";
// A tool that writes only a tag above puts the whole name here.
constexpr char kImageName[] = "io.containerd.image.name";

// tar in the encodings that unpacking knows; "foreign" layers lie elsewhere and are not fetched.
constexpr std::array<std::string_view, 6> kLayerTypes = {
    kOciLayer,
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
};
constexpr std::array<std::string_view, 2> kConfigTypes = {
    kOciConfig,
    "application/vnd.docker.container.image.v1+json",
};

template <typename Types>
bool IsOneOf(const Types& types, std::string_view type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

Status Bad(std::string message) { return Status(EBADMSG, std::move(message)); }
Status Bad(const char* key, std::string_view why) {
  return Bad(std::string("\"") + key + "\" " + std::string(why));
}

Result<json> ParseObject(std::string_view text, std::string_view what) {
  if (text.size() > kMaxDocument) return Bad(std::string(what) + " is larger than 4 MB");
  Result<json> value = ParseJson(text, what);
  if (!value.ok()) return Bad(value.status().message());
  if (!value->is_object()) return Bad(std::string(what) + " is no JSON object");
  return value;
}

// A missing member leaves `out` as it is, in all of these.
Status GetString(const json& object, const char* key, std::string* out) {
  const json* value = Member(object, key);
  if (value == nullptr) return Status();
  if (!value->is_string()) return Bad(key, "is no string");
  *out = value->get_ref<const std::string&>();
  // These become parts of C strings: what follows a NUL would be lost.
  if (out->find('\0') != std::string::npos) return Bad(key, "holds a NUL");
  return Status();
}

Status GetStrings(const json& object, const char* key, std::vector<std::string>* out) {
  const json* value = Member(object, key);
  if (value == nullptr) return Status();
  if (!value->is_array()) return Bad(key, "is no array");
  if (value->size() > kMaxStrings) return Bad(key, "has too many elements");
  for (const json& element : *value) {
    if (!element.is_string()) return Bad(key, "holds what is no string");
    out->push_back(element.get_ref<const std::string&>());
    if (out->back().find('\0') != std::string::npos) return Bad(key, "holds a NUL");
  }
  return Status();
}

Status GetObject(const json& object, const char* key, const json** out) {
  *out = Member(object, key);
  if (*out == nullptr) return Status();
  if (!(*out)->is_object()) return Bad(key, "is no object");
  return (*out)->size() <= kMaxStrings ? Status() : Bad(key, "has too many members");
}

Status GetDescriptor(const json& value, Descriptor* out) {
  if (!value.is_object()) return Bad("a descriptor is no object");
  USETL_RETURN_IF_ERROR(GetString(value, "mediaType", &out->media_type));
  USETL_RETURN_IF_ERROR(GetString(value, "digest", &out->digest));
  if (!IsDigest(out->digest)) return Bad("digest", "is no sha256 digest");
  const json* size = Member(value, "size");
  if (size == nullptr || !size->is_number_unsigned()) return Bad("size", "is no size");
  out->size = size->get<uint64_t>();
  return out->size <= kMaxSize ? Status() : Bad("size", "is beyond all bounds");
}

const char* TextOf(DocumentKind kind) {
  return kind == DocumentKind::kIndex ? "an index" : "a manifest";
}

Status CheckType(DocumentKind kind, std::string_view type) {
  const bool index = type == kOciIndex || type == kDockerIndex;
  const bool manifest = type == kOciManifest || type == kDockerManifest;
  if ((index && kind != DocumentKind::kIndex) || (manifest && kind != DocumentKind::kManifest)) {
    return Bad(std::string("is called ") + std::string(type) + " but is " + TextOf(kind));
  }
  return Status();
}

}  // namespace

Result<DocumentKind> KindOf(std::string_view text, std::string_view media_type) {
  Result<json> document = ParseObject(text, "the manifest");
  if (!document.ok()) return document.status();
  const json* version = Member(*document, "schemaVersion");
  if (version == nullptr || !version->is_number_integer() || *version != 2) {
    return Bad("the manifest is not of schema version 2");
  }
  const bool index = Member(*document, "manifests") != nullptr;
  const bool manifest =
      Member(*document, "layers") != nullptr || Member(*document, "config") != nullptr;
  if (index == manifest) return Bad("the document is neither clearly a manifest nor an index");
  const DocumentKind kind = index ? DocumentKind::kIndex : DocumentKind::kManifest;
  std::string own;
  USETL_RETURN_IF_ERROR(GetString(*document, "mediaType", &own));
  USETL_RETURN_IF_ERROR(CheckType(kind, own));
  USETL_RETURN_IF_ERROR(CheckType(kind, media_type));
  return kind;
}

Result<std::vector<IndexItem>> ParseIndex(std::string_view text) {
  Result<json> document = ParseObject(text, "the index");
  if (!document.ok()) return document.status();
  const json* list = Member(*document, "manifests");
  if (list == nullptr || !list->is_array()) return Bad("manifests", "is no array");
  if (list->size() > kMaxIndexEntries) return Bad("manifests", "has too many elements");
  std::vector<IndexItem> items;
  for (const json& value : *list) {
    IndexItem& item = items.emplace_back();
    USETL_RETURN_IF_ERROR(GetDescriptor(value, &item.descriptor));
    const json* platform;
    USETL_RETURN_IF_ERROR(GetObject(value, "platform", &platform));
    if (platform != nullptr) {
      item.has_platform = true;
      USETL_RETURN_IF_ERROR(GetString(*platform, "os", &item.os));
      USETL_RETURN_IF_ERROR(GetString(*platform, "architecture", &item.architecture));
      USETL_RETURN_IF_ERROR(GetString(*platform, "variant", &item.variant));
    }
    const json* annotations;
    USETL_RETURN_IF_ERROR(GetObject(value, "annotations", &annotations));
    if (annotations != nullptr) {
      USETL_RETURN_IF_ERROR(GetString(*annotations, kRefName, &item.name));
      USETL_RETURN_IF_ERROR(GetString(*annotations, kImageName, &item.name));
    }
  }
  return items;
}

bool IsForeign(const IndexItem& item) {
  // amd64/v2 and above may use instructions that this processor lacks.
  return item.has_platform && (item.os != "linux" || item.architecture != "amd64" ||
                               (!item.variant.empty() && item.variant != "v1"));
}

Result<Descriptor> ChoosePlatform(const std::vector<IndexItem>& items) {
  for (const IndexItem& item : items) {
    if (item.has_platform && !IsForeign(item)) return item.descriptor;
  }
  if (items.size() == 1 && !items[0].has_platform) return items[0].descriptor;
  return Status(ENOENT, "the image does not exist for linux/amd64");
}

Result<uint64_t> Manifest::TotalSize(uint64_t limit) const {
  uint64_t total = config.size;
  for (const Descriptor& layer : layers) {
    if (layer.size > limit || total > limit - layer.size) {
      return Bad("the image is larger than the limit of " + std::to_string(limit) + " bytes");
    }
    total += layer.size;
  }
  return total;
}

Result<Manifest> ParseManifest(std::string_view text) {
  Result<json> document = ParseObject(text, "the manifest");
  if (!document.ok()) return document.status();
  const json *config = Member(*document, "config"), *layers = Member(*document, "layers");
  if (config == nullptr) return Bad("config", "is missing");
  if (layers == nullptr || !layers->is_array()) return Bad("layers", "is no array");
  if (layers->size() > kMaxLayers) return Bad("layers", "has more than 256 elements");
  Manifest manifest;
  USETL_RETURN_IF_ERROR(GetString(*document, "mediaType", &manifest.media_type));
  USETL_RETURN_IF_ERROR(GetDescriptor(*config, &manifest.config));
  if (!IsOneOf(kConfigTypes, manifest.config.media_type)) {
    return Bad("what its manifest describes is no image but " + manifest.config.media_type);
  }
  if (manifest.config.size > kMaxDocument) return Bad("config", "is larger than 4 MB");
  for (const json& value : *layers) {
    Descriptor& layer = manifest.layers.emplace_back();
    USETL_RETURN_IF_ERROR(GetDescriptor(value, &layer));
    if (!IsOneOf(kLayerTypes, layer.media_type)) {
      return Bad("layers of type " + layer.media_type + " are not supported");
    }
  }
  return manifest;
}

std::string MakeManifest(const Manifest& manifest) {
  const auto descriptor = [](const Descriptor& d) {
    return json{{"mediaType", d.media_type}, {"digest", d.digest}, {"size", d.size}};
  };
  json document = {{"schemaVersion", 2}, {"mediaType", kOciManifest}};
  document["config"] = descriptor(manifest.config);
  document["layers"] = json::array();
  for (const Descriptor& layer : manifest.layers) document["layers"].push_back(descriptor(layer));
  return document.dump();
}

std::string ImageConfig::ChainId() const {
  std::string chain;
  for (const std::string& id : diff_ids) chain = chain.empty() ? id : DigestOf(chain + " " + id);
  return chain;
}

Result<ImageConfig> ParseConfig(std::string_view text) {
  Result<json> document = ParseObject(text, "the image's config");
  if (!document.ok()) return document.status();
  ImageConfig config;
  config.json = text;
  std::string os = "linux", architecture = "amd64", type;
  USETL_RETURN_IF_ERROR(GetString(*document, "os", &os));
  USETL_RETURN_IF_ERROR(GetString(*document, "architecture", &architecture));
  if (os != "linux" || architecture != "amd64") {
    return Bad("the image is for " + os + "/" + architecture + ", not for linux/amd64");
  }
  USETL_RETURN_IF_ERROR(GetString(*document, "created", &config.created));
  const json *rootfs, *run, *members;
  USETL_RETURN_IF_ERROR(GetObject(*document, "rootfs", &rootfs));
  if (rootfs == nullptr) return Bad("rootfs", "is missing");
  USETL_RETURN_IF_ERROR(GetString(*rootfs, "type", &type));
  if (type != "layers") return Bad("rootfs", "is not made of layers");
  USETL_RETURN_IF_ERROR(GetStrings(*rootfs, "diff_ids", &config.diff_ids));
  if (config.diff_ids.size() > kMaxLayers) return Bad("diff_ids", "has more than 256 elements");
  for (const std::string& id : config.diff_ids) {
    if (!IsDigest(id)) return Bad("diff_ids", "holds what is no sha256 digest");
  }
  USETL_RETURN_IF_ERROR(GetObject(*document, "config", &run));
  if (run == nullptr) return config;
  USETL_RETURN_IF_ERROR(GetStrings(*run, "Entrypoint", &config.entrypoint));
  USETL_RETURN_IF_ERROR(GetStrings(*run, "Cmd", &config.command));
  USETL_RETURN_IF_ERROR(GetStrings(*run, "Env", &config.environment));
  USETL_RETURN_IF_ERROR(GetString(*run, "WorkingDir", &config.working_directory));
  USETL_RETURN_IF_ERROR(GetString(*run, "User", &config.user));
  USETL_RETURN_IF_ERROR(GetString(*run, "StopSignal", &config.stop_signal));
  USETL_RETURN_IF_ERROR(GetObject(*run, "Labels", &members));
  if (members != nullptr) {
    for (const auto& [key, value] : members->items()) {
      if (!value.is_string()) return Bad("Labels", "holds what is no string");
      config.labels[key] = value.get_ref<const std::string&>();
    }
  }
  USETL_RETURN_IF_ERROR(GetObject(*run, "ExposedPorts", &members));
  if (members != nullptr) {
    for (const auto& [key, value] : members->items()) config.exposed_ports.push_back(key);
  }
  return config;
}

}  // namespace usetl::image
