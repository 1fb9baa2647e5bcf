// partial_blob.h: a blob on its way into the store.
#ifndef USETL_CRI_IMAGE_PARTIAL_BLOB_H_
#define USETL_CRI_IMAGE_PARTIAL_BLOB_H_

#include <string>
#include <string_view>

#include "cri/image/content_store.h"
#include "cri/image/digest.h"

namespace usetl::image {

// The only writer of one blob among all threads and processes. What was written stays when this
// goes without Commit(): whoever comes next goes on from there.
class PartialBlob {
 public:
  // Waits while another one writes the same blob.
  static Result<PartialBlob> Begin(const ContentStore& store, const Descriptor& descriptor,
                                   const Cancelled& cancelled);

  // The blob is in the store: nothing is left to do.
  bool done() const { return done_; }
  uint64_t size() const { return size_; }
  const Descriptor& descriptor() const { return descriptor_; }
  // EBADMSG when there is more than the descriptor says.
  Status Append(std::string_view bytes);
  Status Restart();
  // Checks size and digest (EBADMSG; nothing is kept then), and stores the blob.
  Status Commit();

 private:
  PartialBlob(const ContentStore& store, Descriptor descriptor)
      : store_(&store), descriptor_(std::move(descriptor)) {}
  Status TakeUp();

  const ContentStore* store_;
  Descriptor descriptor_;
  std::string path_;
  Fd fd_;  // locked
  Sha256 sha_;
  uint64_t size_ = 0;
  bool done_ = false;
};

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_PARTIAL_BLOB_H_
