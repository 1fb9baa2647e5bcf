// content_store.h: the files of the image store.
//
//   oci-layout, index.json     an OCI image layout: one entry of the index per name of an image
//   blobs/sha256/HEX           manifests, configs, layers as they came
//   packs/HEX.pack, .diff-id   layer HEX as a pack, and the digest of its plain tar
//   ingest/                    what is being written; a broken download is resumed from here
//   leases/                    digests in use though no image has them (yet, or any more)
//   lock                       held while index.json, leases or the set of files changes
//
// Several processes may work on one store. Files get their name only when they are whole, checked
// and on the disk, and never change afterwards; index.json is replaced in one step.
#ifndef USETL_CRI_IMAGE_CONTENT_STORE_H_
#define USETL_CRI_IMAGE_CONTENT_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cri/image/documents.h"
#include "cri/image/files.h"
#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::image {

// An image under one of its names; an image may have many, and one without a name has an entry too.
struct IndexEntry {
  Descriptor manifest;
  std::string name;  // Reference::Text(), or empty
};

// While this lives no process collects what it names. Ends with its process at the latest.
class ContentLease {
 public:
  ContentLease() = default;
  ContentLease(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  ContentLease(ContentLease&&) = default;
  ContentLease& operator=(ContentLease&& other) noexcept;
  ~ContentLease() { Release(); }

 private:
  void Release();

  std::string path_;
  Fd fd_;  // locked
};

struct CollectReport {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

// Thread-safe: all state is in the file system.
class ContentStore {
 public:
  // Makes the directory a store if there is none in it. EBADMSG when it holds a damaged one: that
  // is never mended by forgetting images.
  static Result<std::unique_ptr<ContentStore>> Open(const std::string& directory);

  const std::string& directory() const { return directory_; }
  std::string ingest() const { return directory_ + "/ingest"; }
  std::string BlobPath(const std::string& digest) const;
  std::string PackPath(const std::string& layer_digest) const;
  std::string DiffIdPath(const std::string& layer_digest) const;

  // Whether the blob is there in its full size.
  bool HasBlob(const Descriptor& descriptor) const;
  // At most kMaxDocument bytes, digest checked: EBADMSG otherwise.
  Result<std::string> ReadDocument(const std::string& digest) const;
  // Returns when the document is on the disk.
  Status PutDocument(const std::string& digest, const std::string& bytes) const;

  // EBADMSG when it is damaged.
  Result<std::vector<IndexEntry>> ReadIndex() const;
  // The index as it is now, and whether it still is: each change makes another file, whose inode
  // differs for as long as this one is open.
  Result<Fd> OpenIndex() const;
  bool IsIndex(const Fd& index) const;
  // Writes what `change` made of the entries, alone among all processes.
  Status ChangeIndex(const std::function<Status(std::vector<IndexEntry>*)>& change) const;

  // From before looking whether content is there until an index entry names it.
  Result<ContentLease> Lease(const std::vector<std::string>& digests) const;
  // Removes what neither an image nor a lease names, and broken downloads after a day.
  Result<CollectReport> CollectGarbage() const;

 private:
  explicit ContentStore(std::string directory) : directory_(std::move(directory)) {}

  Status Prepare() const;
  Result<Fd> Lock() const;
  Status WriteIndex(const std::vector<IndexEntry>& entries) const;

  const std::string directory_;
};

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_CONTENT_STORE_H_
