#include "vmm/pack/pack_layout.h"

#include <limits>

namespace usetl::pack {
namespace {

using abi::PackEntry;
using abi::PackType;

uint64_t AddBytes(std::string_view bytes, PackLayout* layout) {
  layout->names.append(bytes);
  return layout->header.names_offset + layout->names.size() - bytes.size();
}

// The node of each entry; fills parents and first children.
Status Number(const PackTree& tree, PackLayout* layout, std::vector<uint32_t>* order) {
  order->push_back(PackTree::kRoot);
  layout->entries.push_back({});
  for (size_t i = 0; i < order->size(); ++i) {
    const auto& children = tree.node((*order)[i]).children;
    layout->entries[i].offset = order->size();
    if (children.size() > std::numeric_limits<uint32_t>::max() - order->size()) {
      return Status(E2BIG, "too many files for one pack");
    }
    for (const auto& [name, node] : children) {
      order->push_back(node);
      layout->entries.push_back({});
      layout->entries.back().parent = i;
    }
  }
  return Status();
}

}  // namespace

Status MakeLayout(const PackTree& tree, PackLayout* layout) {
  std::vector<uint32_t> order;
  USETL_RETURN_IF_ERROR(Number(tree, layout, &order));
  abi::PackHeader& header = layout->header;
  header.magic = abi::kPackMagic;
  header.abi_version = abi::kAbiVersion;
  header.entry_count = order.size();
  header.names_offset = sizeof(header) + order.size() * sizeof(PackEntry);
  std::vector<uint32_t> first(tree.inode_count(), PackTree::kNone);  // entry of each inode
  for (uint32_t i = 0; i < order.size(); ++i) {
    const PackNode& node = tree.node(order[i]);
    const PackInode& inode = tree.inode_of(order[i]);
    PackEntry& entry = layout->entries[i];
    entry.name_offset = AddBytes(node.name, layout);
    entry.name_size = node.name.size();
    entry.type = inode.type;
    entry.mode = inode.mode;
    entry.uid = inode.uid;
    entry.gid = inode.gid;
    entry.modified_ns = inode.modified_ns;
    entry.hard_link = i;
    if (tree.IsDirectory(order[i])) {
      entry.size = node.children.size();
    } else if (inode.type == PackType::kSymlink) {
      entry.size = inode.target.size();
      entry.offset = AddBytes(inode.target, layout);
    } else if (inode.type == PackType::kWhiteout) {
      entry.offset = 0;
    } else {
      if (first[node.inode] == PackTree::kNone) {
        first[node.inode] = i;
        layout->contents.push_back(order[i]);
      }
      entry.hard_link = first[node.inode];
      entry.size = inode.size;
    }
  }
  header.names_size = layout->names.size();
  header.data_offset = PageUp(header.names_offset + header.names_size);
  header.size = header.data_offset;
  for (uint32_t i = 0; i < order.size(); ++i) {
    PackEntry& entry = layout->entries[i];
    if (entry.type != PackType::kRegular) continue;
    const bool own = entry.hard_link == i;
    entry.offset = own ? header.size : layout->entries[entry.hard_link].offset;
    if (own) header.size += PageUp(entry.size);
  }
  return Status();
}

}  // namespace usetl::pack
