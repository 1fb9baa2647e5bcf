// documents.h: the JSON documents of an image, of OCI's and of docker's kind: index, manifest,
// config.
//
// They come from registries and archives and are hostile: sizes and counts are bounded, digests and
// types checked. What comes out can be used without another look. All errors are EBADMSG.
#ifndef USETL_CRI_IMAGE_DOCUMENTS_H_
#define USETL_CRI_IMAGE_DOCUMENTS_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"

namespace usetl::image {

inline constexpr size_t kMaxDocument = 4 << 20;
inline constexpr size_t kMaxLayers = 256;
inline constexpr size_t kMaxIndexEntries = 16384;

inline constexpr char kOciManifest[] = "application/vnd.oci.image.manifest.v1+json";
inline constexpr char kOciIndex[] = "application/vnd.oci.image.index.v1+json";
inline constexpr char kOciConfig[] = "application/vnd.oci.image.config.v1+json";
inline constexpr char kOciLayer[] = "application/vnd.oci.image.layer.v1.tar";
inline constexpr char kDockerManifest[] = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr char kDockerIndex[] = "application/vnd.docker.distribution.manifest.list.v2+json";

struct Descriptor {
  std::string media_type;
  std::string digest;  // IsDigest()
  uint64_t size = 0;   // at most 2^62
};

// An entry of an index: a manifest, or another index.
struct IndexItem {
  Descriptor descriptor;
  bool has_platform = false;
  std::string os, architecture, variant;
  std::string name;  // annotation of an archive: what the image is called, or empty
};

enum class DocumentKind { kIndex, kManifest };
// By what the document holds, not by what its sender calls it: one that could be taken for both is
// refused, and so is one whose own media type or `media_type` (empty: unknown) says otherwise.
Result<DocumentKind> KindOf(std::string_view text, std::string_view media_type);

Result<std::vector<IndexItem>> ParseIndex(std::string_view text);
// The item that this node runs: linux/amd64, or the only one that names no platform. ENOENT when
// there is none.
Result<Descriptor> ChoosePlatform(const std::vector<IndexItem>& items);
// Whether an item says that it is for another platform.
bool IsForeign(const IndexItem& item);

struct Manifest {
  std::string media_type = kOciManifest;
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first; tar, gzip or zstd

  // Compressed bytes of config and layers; an error above `limit`.
  Result<uint64_t> TotalSize(uint64_t limit) const;
};
Result<Manifest> ParseManifest(std::string_view text);
// The document of `manifest`, for images that come without one.
std::string MakeManifest(const Manifest& manifest);

struct ImageConfig {
  std::vector<std::string> entrypoint, command, environment;  // environment: "NAME=value"
  std::string working_directory, user, stop_signal;
  std::map<std::string, std::string> labels;
  std::vector<std::string> exposed_ports;  // "8080/tcp", sorted
  std::vector<std::string> diff_ids;       // digests of the layers' plain tars, lowest first
  std::string created;                     // RFC 3339, or empty
  std::string json;                        // the document itself

  // Names the layers one upon the other, as OCI defines it. Empty without layers.
  std::string ChainId() const;
};
Result<ImageConfig> ParseConfig(std::string_view text);

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_DOCUMENTS_H_
