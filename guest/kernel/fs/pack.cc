#include "guest/kernel/fs/pack.h"

#include "guest/kernel/fs/node.h"
#include "guest/kernel/host/control.h"
#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

uint64_t BaseOf(uint32_t pack) { return host_page().packs[pack].base; }

}  // namespace

uint32_t PackCount() {
  const uint64_t count = host_page().pack_count;
  return count < abi::kMaxPacks ? static_cast<uint32_t>(count) : abi::kMaxPacks;
}

uint32_t ImagePackCount() {
  const uint64_t count = host_page().image_pack_count;
  return count < abi::kMaxImagePacks ? static_cast<uint32_t>(count) : abi::kMaxImagePacks;
}

const abi::PackEntry& PackEntryAt(uint32_t pack, uint32_t entry) {
  return reinterpret_cast<const abi::PackEntry*>(BaseOf(pack) + sizeof(abi::PackHeader))[entry];
}

const char* PackText(uint32_t pack, uint64_t offset) {
  return reinterpret_cast<const char*>(BaseOf(pack) + offset);
}

uint32_t PackChild(uint32_t pack, uint32_t directory, const char* name, uint32_t size) {
  const abi::PackEntry& d = PackEntryAt(pack, directory);
  uint64_t low = d.offset, high = d.offset + d.size;
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    const abi::PackEntry& e = PackEntryAt(pack, static_cast<uint32_t>(middle));
    const uint32_t common = e.name_size < size ? e.name_size : size;
    int order = memcmp(PackText(pack, e.name_offset), name, common);
    if (order == 0) order = e.name_size < size ? -1 : e.name_size > size;
    if (order == 0) return static_cast<uint32_t>(middle);
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return kNoEntry;
}

Inode* InodeFromPack(uint32_t pack, uint32_t entry) {
  const abi::PackEntry& e = PackEntryAt(pack, entry);
  Inode* inode = New<Inode>();
  if (inode == nullptr) return nullptr;
  inode->type = e.type == abi::PackType::kRegular   ? InodeType::kRegular
                : e.type == abi::PackType::kSymlink ? InodeType::kSymlink
                                                    : InodeType::kDirectory;
  inode->mode = e.mode & 07777;
  inode->uid = e.uid;
  inode->gid = e.gid;
  inode->number = (uint64_t{pack} << 32 | e.hard_link) + 2;
  inode->modified_ns = inode->changed_ns = e.modified_ns;
  if (inode->type != InodeType::kDirectory) {
    inode->size = e.size;
    inode->address = e.size == 0 ? 0 : BaseOf(pack) + e.offset;
  }
  return inode;
}

}  // namespace usetl::kernel
