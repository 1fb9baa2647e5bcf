// Documents of images: nothing throws, and whatever is accepted keeps its bounds.
#include "cri/image/digest.h"
#include "cri/image/documents.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usetl::image;  // NOLINT
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto kind = KindOf(text, "");
  const auto index = ParseIndex(text);
  if (index.ok()) {
    for (const IndexItem& item : *index) {
      if (!IsDigest(item.descriptor.digest)) __builtin_trap();
    }
    const auto chosen = ChoosePlatform(*index);
    if (!chosen.ok() && chosen.status().code() != ENOENT) __builtin_trap();
  }
  const auto manifest = ParseManifest(text);
  if (manifest.ok()) {
    if (kind.ok() && *kind != DocumentKind::kManifest) __builtin_trap();
    if (manifest->layers.size() > kMaxLayers) __builtin_trap();
    const auto total = manifest->TotalSize(1 << 30);
    if (total.ok() && *total > (1 << 30) + kMaxDocument) __builtin_trap();
    if (!ParseManifest(MakeManifest(*manifest)).ok()) __builtin_trap();
  }
  const auto config = ParseConfig(text);
  if (config.ok() && !config->diff_ids.empty() && !IsDigest(config->ChainId())) __builtin_trap();
  return 0;
}
