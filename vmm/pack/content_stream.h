// content_stream.h: bytes on their way into a file, hashed and written by a second thread.
//
// A few chunks go round: the caller fills one while the thread hashes and writes another, so the bytes
// are still in the processor's cache. Written with pwrite and not through a mapping, because a full
// disk is then an error and not a SIGBUS, and because it is faster than faulting every page in.
#ifndef USETL_VMM_PACK_CONTENT_STREAM_H_
#define USETL_VMM_PACK_CONTENT_STREAM_H_

#include <openssl/evp.h>

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::pack {

class ContentStream {
 public:
  static constexpr size_t kChunkSize = 1 << 20;
  static constexpr size_t kDigestSize = 32;

  // Writes to `fd` (not owned) from `offset` on.
  ContentStream(int fd, uint64_t offset) : fd_(fd), offset_(offset) {}
  ~ContentStream();

  Status Start();
  // The next `size` bytes of the stream, one after the other in memory. The caller fills all of them
  // before the next call. May report that an earlier write failed.
  Status Reserve(size_t size, uint8_t** bytes);
  // Waits until everything is written; gives the SHA-256 of the whole stream.
  Status Finish(uint8_t digest[kDigestSize]);

 private:
  struct Chunk {
    Mapping memory;
    size_t used = 0;
  };
  struct FreeDigest {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };

  void Run();
  Status Write(const Chunk& chunk);
  void Submit();
  void Stop();

  const int fd_;
  uint64_t offset_;
  std::unique_ptr<EVP_MD_CTX, FreeDigest> digest_;
  std::array<Chunk, 4> chunks_;
  Chunk* current_ = nullptr;
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Chunk*> free_;
  std::deque<Chunk*> filled_;
  bool last_ = false;  // no more will be filled
  Status status_;
};

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_CONTENT_STREAM_H_
