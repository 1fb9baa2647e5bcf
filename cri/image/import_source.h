// import_source.h: files that an image is imported from: an archive or a directory.
#ifndef USETL_CRI_IMAGE_IMPORT_SOURCE_H_
#define USETL_CRI_IMAGE_IMPORT_SOURCE_H_

#include <memory>
#include <string>

#include "cri/image/content_store.h"

namespace usetl::image {

// Names are paths within the source. Whatever it holds is hostile. ENOENT when a name is missing.
class ImportSource {
 public:
  virtual ~ImportSource() = default;
  // At most kMaxDocument bytes.
  virtual Result<std::string> Document(const std::string& name) = 0;
  // Digest and size of a file, its media type left empty.
  virtual Result<Descriptor> Describe(const std::string& name) = 0;
  // Puts a file into the store; EBADMSG when it is not what the descriptor says.
  virtual Status PutBlob(const std::string& name, const Descriptor& descriptor) = 0;
};

// Reads all of a tar archive (plain, gzip, zstd or xz) into files of the store's ingest directory,
// which go with the source. EBADMSG when it is malformed or holds more than `max_bytes`.
Result<std::unique_ptr<ImportSource>> OpenArchive(const ContentStore& store,
                                                  const std::string& path, uint64_t max_bytes,
                                                  const Cancelled& cancelled);
// A directory, read as it is asked for. `store` and `cancelled` must outlive it.
std::unique_ptr<ImportSource> OpenDirectory(const ContentStore& store, const std::string& path,
                                            const Cancelled& cancelled);

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_IMPORT_SOURCE_H_
