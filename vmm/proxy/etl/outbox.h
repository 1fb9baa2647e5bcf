// outbox.h: records to the guest, in order, kept while the ring is full.
#ifndef USETL_VMM_PROXY_ETL_OUTBOX_H_
#define USETL_VMM_PROXY_ETL_OUTBOX_H_

#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "vmm/proxy/etl/etl_proxy.h"

namespace usetl::etl {

// Single-threaded.
class Outbox {
 public:
  explicit Outbox(PostRecord post) : post_(std::move(post)) {}

  void Post(abi::RecordType type, uint64_t id, std::span<const uint8_t> head,
            std::span<const uint8_t> tail = {}) {
    if (pending_.empty() && post_(type, id, head, tail)) return;
    Pending record{type, id, head.size(), {head.begin(), head.end()}};
    record.bytes.insert(record.bytes.end(), tail.begin(), tail.end());
    pending_.push_back(std::move(record));
  }
  template <typename T>
  void Post(abi::RecordType type, uint64_t id, const T& head, std::span<const uint8_t> tail = {}) {
    Post(type, id, std::span(reinterpret_cast<const uint8_t*>(&head), sizeof head), tail);
  }

  // Tries what is kept.
  void Drain() {
    while (!pending_.empty()) {
      const Pending& record = pending_.front();
      const std::span<const uint8_t> bytes(record.bytes);
      if (!post_(record.type, record.id, bytes.first(record.head), bytes.subspan(record.head))) {
        return;
      }
      pending_.pop_front();
    }
  }
  void Clear() { pending_.clear(); }
  bool congested() const { return !pending_.empty(); }
  size_t pending() const { return pending_.size(); }

 private:
  struct Pending {
    abi::RecordType type;
    uint64_t id;
    size_t head;
    std::vector<uint8_t> bytes;
  };
  PostRecord post_;
  std::deque<Pending> pending_;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_OUTBOX_H_
