// image_fixture.h: OCI layouts with images made by hand, and a store to import them into.
#ifndef USETL_TESTS_UNIT_IMAGE_FIXTURE_H_
#define USETL_TESTS_UNIT_IMAGE_FIXTURE_H_

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "cri/image/digest.h"
#include "cri/image/image_store.h"
#include "tests/unit/temporary_directory.h"

namespace usetl::image {

namespace fs = std::filesystem;

// A plain tar of these files.
inline std::string Tar(const std::map<std::string, std::string>& files) {
  std::string bytes(1 << 20, 0);
  size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_set_format_ustar(writer);
  archive_write_open_memory(writer, bytes.data(), bytes.size(), &used);
  for (const auto& [name, content] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, content.size());
    archive_write_header(writer, entry);
    archive_write_data(writer, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  bytes.resize(used);
  return bytes;
}

class ImageTest : public testing::Test {
 protected:
  std::unique_ptr<ImageStore> OpenStore(const StoreConfig& config = {}) {
    auto store = ImageStore::Open(store_path_, config);
    EXPECT_TRUE(store.ok()) << store.status().message();
    return store.ok() ? std::move(*store) : nullptr;
  }

  // An OCI layout that holds one image called `name`; `salt` makes its config another. `diff_ids`
  // instead of the true ones, if there are any.
  std::string Layout(const std::string& name, const std::vector<std::string>& tars,
                     const std::string& salt = "", std::vector<std::string> diff_ids = {}) {
    using nlohmann::json;
    const fs::path layout = directory_ / ("layout-" + std::to_string(++layouts_));
    const fs::path blobs = layout / "blobs" / "sha256";
    fs::create_directories(blobs);
    const auto put = [&](const std::string& bytes, const char* type) {
      const std::string digest = DigestOf(bytes);
      std::ofstream(blobs / HexOf(digest)) << bytes;
      return json{{"mediaType", type}, {"digest", digest}, {"size", bytes.size()}};
    };
    json layers = json::array();
    for (const std::string& tar : tars) layers.push_back(put(tar, kOciLayer));
    if (diff_ids.empty()) {
      for (const std::string& tar : tars) diff_ids.push_back(DigestOf(tar));
    }
    const json config = {{"os", "linux"},
                         {"architecture", "amd64"},
                         {"author", salt},
                         {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}}};
    const json manifest = {
        {"schemaVersion", 2}, {"config", put(config.dump(), kOciConfig)}, {"layers", layers}};
    json item = put(manifest.dump(), kOciManifest);
    item["annotations"] = {{"org.opencontainers.image.ref.name", name}};
    std::ofstream(layout / "index.json") << json{{"schemaVersion", 2}, {"manifests", {item}}};
    std::ofstream(layout / "oci-layout") << "{\"imageLayoutVersion\":\"1.0.0\"}";
    return layout;
  }

  static std::string Import(ImageStore* store, const std::string& layout) {
    const auto ids = store->Import(layout, "", {}, {});
    EXPECT_TRUE(ids.ok()) << ids.status().message();
    return ids.ok() && ids->size() == 1 ? ids->front() : "";
  }
  size_t Count(const char* folder) const {
    return std::distance(fs::directory_iterator(store_path_ / folder), fs::directory_iterator());
  }
  std::string PackOf(const std::string& tar) const {
    return store_path_ / "packs" / (HexOf(DigestOf(tar)) + ".pack");
  }

  const test::TemporaryDirectory made_;
  const fs::path directory_ = made_.path(), store_path_ = directory_ / "store";
  int layouts_ = 0;
};

}  // namespace usetl::image

#endif  // USETL_TESTS_UNIT_IMAGE_FIXTURE_H_
