// ring.h: single-producer single-consumer rings of records in shared memory.
//
// Both sides keep their own index in a line that only they write and treat the other side's index
// and every record as hostile: a value is loaded once, checked, then used. Indices count bytes and
// never wrap; offset = index % capacity.
#ifndef USETL_VMM_ABI_RING_H_
#define USETL_VMM_ABI_RING_H_

#include <cstddef>
#include <cstdint>

namespace usetl::abi {

// One index and one flag, alone on their cache line.
struct alignas(64) RingLine {
  uint64_t index;    // producer: bytes published; consumer: bytes consumed
  uint32_t waiting;  // 1: this side is going to sleep and wants a doorbell when the other moves
  uint32_t reserved[13];
};
static_assert(sizeof(RingLine) == 64);

struct RecordHeader {
  uint32_t size;  // header and payload, before rounding up to 8
  uint16_t type;  // RecordType
  uint16_t flags;
  uint64_t id;  // of the transaction, chosen by the side that opened it
};
static_assert(sizeof(RecordHeader) == 16);

inline constexpr uint32_t kMaxRecord = 32 << 10;
inline constexpr uint16_t kPadRecord = 0;  // fills the end of the ring; no payload is read

constexpr uint32_t RecordSpan(uint32_t size) { return (size + 7) & ~7u; }

inline uint64_t LoadAcquire(const uint64_t& word) {
  return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}
inline void StoreRelease(uint64_t& word, uint64_t value) {
  __atomic_store_n(&word, value, __ATOMIC_RELEASE);
}

// An index of one's own line. Nobody else ought to write it, but it is shared memory: it is loaded
// once, so that what was checked is what is used.
inline uint64_t LoadOwn(const uint64_t& word) { return __atomic_load_n(&word, __ATOMIC_RELAXED); }

// The producer's end. `mine` and `data` are written here, `theirs` is only read.
class RingProducer {
 public:
  RingProducer() = default;
  RingProducer(RingLine* mine, const RingLine* theirs, uint8_t* data, uint32_t capacity)
      : mine_(mine), theirs_(theirs), data_(data), capacity_(capacity) {}

  // Bytes that may be written now; 0 when the other side's index makes no sense.
  uint64_t Free() const {
    const uint64_t used = LoadOwn(mine_->index) - LoadAcquire(theirs_->index);
    return used > capacity_ ? 0 : capacity_ - used;
  }

  // Publishes one record made of two parts. False: no room now (or larger than kMaxRecord).
  bool Put(uint16_t type, uint64_t id, const void* head, uint32_t head_size,
           const void* body = nullptr, uint32_t body_size = 0) {
    if (head_size > kMaxRecord || body_size > kMaxRecord) return false;
    const uint32_t size = sizeof(RecordHeader) + head_size + body_size;
    if (size > kMaxRecord) return false;
    const uint32_t span = RecordSpan(size);
    uint64_t index = LoadOwn(mine_->index);
    const uint32_t tail_room = capacity_ - static_cast<uint32_t>(index % capacity_);
    const uint32_t pad = tail_room < span ? tail_room : 0;
    if (Free() < uint64_t{span} + pad) return false;
    if (pad != 0) {
      const RecordHeader filler{pad, kPadRecord, 0, 0};
      // Less than a header's room is left unwritten: the consumer skips it by the same rule.
      if (pad >= sizeof filler) __builtin_memcpy(data_ + index % capacity_, &filler, sizeof filler);
      index += pad;
    }
    uint8_t* at = data_ + index % capacity_;
    const RecordHeader header{size, type, 0, id};
    __builtin_memcpy(at, &header, sizeof header);
    if (head_size != 0) __builtin_memcpy(at + sizeof header, head, head_size);
    if (body_size != 0) __builtin_memcpy(at + sizeof header + head_size, body, body_size);
    StoreRelease(mine_->index, index + span);
    return true;
  }

  // Publishes as many bytes as fit (rings of plain bytes); returns their number.
  uint32_t PutBytes(const void* bytes, uint32_t size) {
    const uint64_t room = Free();
    if (size > room) size = static_cast<uint32_t>(room);
    const uint64_t index = LoadOwn(mine_->index);
    const uint32_t offset = static_cast<uint32_t>(index % capacity_);
    const uint32_t first = size < capacity_ - offset ? size : capacity_ - offset;
    __builtin_memcpy(data_ + offset, bytes, first);
    __builtin_memcpy(data_, static_cast<const uint8_t*>(bytes) + first, size - first);
    StoreRelease(mine_->index, index + size);
    return size;
  }

  // True: the consumer sleeps and must be rung now. Call after Put. Once is enough until it has
  // taken what it was rung for: it does not sleep before.
  bool BellDue() {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&theirs_->waiting, __ATOMIC_RELAXED) == 0) return false;
    if (static_cast<int64_t>(rung_for_ - LoadAcquire(theirs_->index)) > 0) return false;
    rung_for_ = LoadOwn(mine_->index);
    return true;
  }

 private:
  RingLine* mine_ = nullptr;
  const RingLine* theirs_ = nullptr;
  uint8_t* data_ = nullptr;
  uint32_t capacity_ = 0;
  uint64_t rung_for_ = 0;  // the end of what was published when it was last rung
};

enum class RingRead { kRecord, kEmpty, kBroken };

// The consumer's end. Payloads are copied out before the caller sees them.
class RingConsumer {
 public:
  RingConsumer() = default;
  RingConsumer(RingLine* mine, const RingLine* theirs, const uint8_t* data, uint32_t capacity)
      : mine_(mine), theirs_(theirs), data_(data), capacity_(capacity) {}

  // Takes the next record: the header and at most kMaxRecord bytes of payload into `payload`.
  // kBroken: the producer broke the rules; the caller gives the peer up.
  RingRead Take(RecordHeader* header, uint8_t* payload) {
    for (;;) {
      const uint64_t index = LoadOwn(mine_->index);
      const uint64_t ready = LoadAcquire(theirs_->index) - index;
      if (ready == 0) return RingRead::kEmpty;
      if (ready > capacity_ || index % 8 != 0) return RingRead::kBroken;
      const uint32_t room = capacity_ - static_cast<uint32_t>(index % capacity_);
      if (room < sizeof(RecordHeader)) {
        if (ready < room) return RingRead::kBroken;
        StoreRelease(mine_->index, index + room);
        continue;
      }
      if (ready < sizeof(RecordHeader)) return RingRead::kBroken;
      __builtin_memcpy(header, data_ + index % capacity_, sizeof *header);
      if (header->type == kPadRecord) {
        if (ready < room) return RingRead::kBroken;
        StoreRelease(mine_->index, index + room);
        continue;
      }
      const uint32_t size = header->size;
      if (size < sizeof *header || size > kMaxRecord) return RingRead::kBroken;
      if (RecordSpan(size) > ready || RecordSpan(size) > room) return RingRead::kBroken;
      __builtin_memcpy(payload, data_ + index % capacity_ + sizeof *header, size - sizeof *header);
      StoreRelease(mine_->index, index + RecordSpan(size));
      return RingRead::kRecord;
    }
  }

  // Takes up to `size` bytes (rings of plain bytes). -1: broken.
  int64_t TakeBytes(void* bytes, uint32_t size) {
    const uint64_t index = LoadOwn(mine_->index);
    const uint64_t ready = LoadAcquire(theirs_->index) - index;
    if (ready > capacity_) return -1;
    if (size > ready) size = static_cast<uint32_t>(ready);
    const uint32_t offset = static_cast<uint32_t>(index % capacity_);
    const uint32_t first = size < capacity_ - offset ? size : capacity_ - offset;
    __builtin_memcpy(bytes, data_ + offset, first);
    __builtin_memcpy(static_cast<uint8_t*>(bytes) + first, data_, size - first);
    StoreRelease(mine_->index, index + size);
    return size;
  }

  bool Empty() const { return LoadAcquire(theirs_->index) == LoadOwn(mine_->index); }

  // Announces sleep. True: still empty, the caller may sleep; false: something came, flag cleared.
  bool PrepareWait() {
    __atomic_store_n(&mine_->waiting, 1u, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (Empty()) return true;
    EndWait();
    return false;
  }
  void EndWait() { __atomic_store_n(&mine_->waiting, 0u, __ATOMIC_RELAXED); }

  // True: the producer sleeps for room and must be rung. Call after Take.
  bool ProducerWaits() const {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&theirs_->waiting, __ATOMIC_RELAXED) != 0;
  }

 private:
  RingLine* mine_ = nullptr;
  const RingLine* theirs_ = nullptr;
  const uint8_t* data_ = nullptr;
  uint32_t capacity_ = 0;
};

}  // namespace usetl::abi

#endif  // USETL_VMM_ABI_RING_H_
