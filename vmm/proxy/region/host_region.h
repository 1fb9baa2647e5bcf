// host_region.h: the producer of the host region: files of the function and bodies of responses.
//
// Single-threaded. The guest reads all of it and writes nothing of it. Nothing here reads back what
// lies in the region: the books are kept in private memory.
#ifndef USETL_VMM_PROXY_REGION_HOST_REGION_H_
#define USETL_VMM_PROXY_REGION_HOST_REGION_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/abi/file_table.h"
#include "vmm/base/status.h"
#include "vmm/proxy/region/free_map.h"

namespace usetl {

class HostRegion;

// What the guest is told about a body.
struct PublishedBody {
  uint32_t entry;
  uint64_t offset;  // within the region
  uint64_t size;
};

// A contiguous range being written. Gives its space back when it goes, unless it was published.
// Must not outlive the region; harmless after HostRegion::Reset().
class BodyCursor {
 public:
  BodyCursor() = default;
  BodyCursor(BodyCursor&& other) noexcept;
  BodyCursor& operator=(BodyCursor&& other) noexcept;
  ~BodyCursor() { Discard(); }

  bool ok() const { return region_ != nullptr; }
  uint8_t* data() const;  // the first byte; changes when Grow() moves the body
  uint64_t offset() const { return offset_; }
  uint64_t size() const { return size_; }          // bytes written
  uint64_t capacity() const { return capacity_; }  // bytes that may be written
  bool moved() const { return moved_; }            // some Grow() had to copy

  // Room for `capacity` bytes in all: in place when the space behind is free, else by moving what
  // was written. ENOSPC leaves the cursor as it is.
  Status Grow(uint64_t capacity);
  // Copies bytes behind what is there; grows by doubling.
  Status Append(std::span<const uint8_t> bytes);
  // Bytes were written at data() + size(). REQUIRES: they fit.
  void Advance(uint64_t bytes) { size_ += bytes; }

  // Makes the written bytes a nameless entry, gives back the rest; the cursor is empty afterwards.
  // ENOSPC when the table is full: the cursor stays.
  Result<PublishedBody> Publish();
  // Gives the space back. The cursor is empty afterwards.
  void Discard();

 private:
  friend class HostRegion;

  HostRegion* region_ = nullptr;
  uint64_t epoch_ = 0;  // of the region, so that a cursor from before a reset frees nothing
  uint64_t offset_ = 0;
  uint64_t size_ = 0;
  uint64_t capacity_ = 0;
  bool moved_ = false;
};

class HostRegion {
 public:
  // `base`: the whole region, writable, mapped 2 MB aligned when `huge` (made of 2 MB pages: then
  // bodies above 64 kB start on one). REQUIRES: size is a page multiple, larger than the table.
  HostRegion(uint8_t* base, uint64_t size, bool huge);
  HostRegion(const HostRegion&) = delete;
  HostRegion& operator=(const HostRegion&) = delete;

  // Writes the table's header. REQUIRES: the region is zero (new or scrubbed). Forgets everything.
  void Format();
  // Takes back every file and body, for the next run. The bytes themselves are not scrubbed.
  void Reset();

  // A named file of the function; `path` is absolute. `mount`: as abi::FileEntry has it. EINVAL:
  // bad or double name; ENOSPC: no room.
  Status AddFile(std::string_view path, std::span<const uint8_t> content, uint16_t mode);
  // The same with a part of a file as content. EPROTO: the file ends before that.
  Status AddFileFrom(std::string_view path, int fd, uint64_t offset, uint64_t size, uint16_t mode,
                     uint32_t mount = 0);
  // A directory; those on the way to a name need none. A symbolic link.
  Status AddDirectory(std::string_view path, uint16_t mode, uint32_t mount = 0);
  Status AddLink(std::string_view path, std::string_view target);

  // Files that replace others while the function runs. What was removed or replaced since the last
  // call of BeginUpdate() keeps its bytes until the next one: the guest may have it open.
  void BeginUpdate();
  bool Has(std::string_view path) const { return names_.contains(path); }
  // Names below a directory, without a leading '/', sorted.
  std::vector<std::string> NamesBelow(std::string_view path) const;
  // REQUIRES: Has(path). The guest sees the link with the one target or the other.
  Status ReplaceLink(std::string_view path, std::string_view target);
  void Remove(std::string_view path);

  // A cursor with room for `size_hint` bytes (at least one page). ENOSPC: no such room.
  Result<BodyCursor> Reserve(uint64_t size_hint);
  // The same for what there may be many of: begins on a 2 MB page only when it is large.
  Result<BodyCursor> ReserveContent(uint64_t size) { return ReserveFile({}, size); }
  // A window for a streamed body: `wanted` bytes, or less when the region is short of room, but
  // never less than 64 kB (or `wanted` if smaller). Its entry is never published.
  Result<BodyCursor> ReserveWindow(uint64_t wanted = kWindowSize);

  // The guest has dropped a body. Hostile: any number, any number of times; only live nameless
  // entries count.
  void Release(uint32_t entry);

  static constexpr uint64_t kWindowSize = 8 << 20;

  uint8_t* base() const { return base_; }
  uint64_t size() const { return size_; }
  uint64_t data_base() const;  // of a formatted table
  uint64_t free_bytes() const { return free_.free(); }
  uint32_t live_bodies() const { return live_bodies_; }

 private:
  friend class BodyCursor;

  enum class Slot : uint8_t { kFree, kFile, kBody };
  struct Book {
    Slot slot = Slot::kFree;
    uint64_t offset = 0;
    uint64_t capacity = 0;
  };

  uint64_t AlignFor(uint64_t size) const;
  Result<uint32_t> FreeSlot();
  // Room for content and name. What is not large does not begin on a 2 MB page: there may be many.
  Result<BodyCursor> ReserveFile(std::string_view path, uint64_t size);
  Status AddEntry(std::string_view path, BodyCursor content, abi::FileType type, uint16_t mode,
                  uint32_t mount);
  // Puts the name behind the content and keeps what both take; the slot's book is the caller's.
  Result<abi::FileEntry> Finish(std::string_view path, BodyCursor* content, Book* book);
  Result<BodyCursor> WriteTarget(std::string_view path, std::string_view target);
  void Write(uint32_t slot, abi::FileEntry entry);
  void NamesChanged();
  abi::FileTable& table() const { return *reinterpret_cast<abi::FileTable*>(base_); }

  uint8_t* base_;
  uint64_t size_;
  bool huge_;
  uint64_t epoch_ = 0;
  uint32_t used_ = 0;        // slots ever used, as published
  uint32_t first_free_ = 0;  // no slot below it is free
  uint32_t live_bodies_ = 0;
  FreeMap free_;
  std::vector<Book> books_;                             // by slot; grows, for most need few
  std::map<std::string, uint32_t, std::less<>> names_;  // of files: their slots
  std::vector<Book> retired_;                           // taken back at the next BeginUpdate()
};

}  // namespace usetl

#endif  // USETL_VMM_PROXY_REGION_HOST_REGION_H_
