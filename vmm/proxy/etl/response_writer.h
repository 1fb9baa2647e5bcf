// response_writer.h: the answer of one transaction on its way into the host region.
//
// Stored: the body grows in a cursor, is published as an entry and announced by one kHttpHead.
// Streamed: kHttpHead first, then spans of a ring in the region, then kHttpEnd once the guest has
// consumed them all, so that nothing refers to the ring after the last record.
#ifndef USETL_VMM_PROXY_ETL_RESPONSE_WRITER_H_
#define USETL_VMM_PROXY_ETL_RESPONSE_WRITER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "vmm/proxy/etl/outbox.h"
#include "vmm/proxy/region/host_region.h"

namespace usetl::etl {

// Single-threaded. After done() it has posted its last record and holds nothing of the region.
class ResponseWriter {
 public:
  // `region` and `outbox` outlive it.
  ResponseWriter(uint64_t id, HostRegion* region, Outbox* outbox, uint64_t window)
      : id_(id), region_(region), outbox_(outbox), window_(window) {}

  enum class Mode { kStore, kStoreOrStream, kStream };
  // The head is known. `length`: of the body, if known; 0 means none. An error: no room.
  abi::HttpError Begin(int status, std::string headers, std::optional<uint64_t> length, Mode mode);
  bool begun() const { return state_ != State::kNew; }

  enum class Write { kTaken, kFull, kNoSpace };
  // Copies all of the bytes or none. kFull: a streamed body waits for the guest.
  Write Append(std::span<const uint8_t> bytes);
  // Room for a producer that writes by itself: at most `wanted` bytes, then Commit(). Empty: kFull
  // or kNoSpace as above.
  std::span<uint8_t> Room(size_t wanted, Write* result);
  void Commit(size_t size);
  // Enough room to let a paused producer go on.
  bool roomy() const;

  // Posts streamed bytes that were held back to make larger records.
  void Flush();
  // The guest has read a span. An error means that it broke the protocol.
  Status OnConsumed(const abi::HttpSpan& span);

  // The body is complete. kNone, or why it cannot be handed over (nothing was posted then).
  abi::HttpError Finish();
  // Ends with an error, at once.
  void Fail(abi::HttpError error, std::string_view message);

  // All of the body is in the ring and the guest is reading it.
  bool draining() const { return state_ == State::kDraining; }
  bool done() const { return state_ == State::kDone; }
  uint64_t bytes() const { return total_; }

 private:
  enum class State { kNew, kStored, kStreamed, kDraining, kDone };

  uint64_t free() const { return cursor_.capacity() - (written_ - consumed_); }
  bool StartStream(std::optional<uint64_t> length);
  void PostHead(abi::HttpHead head, std::string_view message);
  void PostEnd(abi::HttpError error, std::string_view message);

  const uint64_t id_;
  HostRegion* region_;
  Outbox* outbox_;
  const uint64_t window_;
  State state_ = State::kNew;
  Mode mode_ = Mode::kStore;
  int status_ = 0;
  std::string headers_;
  std::optional<uint64_t> length_;
  uint64_t total_ = 0;
  BodyCursor cursor_;     // the body, or the ring of a streamed one
  uint64_t written_ = 0;  // bytes put into the ring, told to the guest, read by it
  uint64_t posted_ = 0;
  uint64_t consumed_ = 0;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_RESPONSE_WRITER_H_
