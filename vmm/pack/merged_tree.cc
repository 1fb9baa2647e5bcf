#include "vmm/pack/merged_tree.h"

#include <algorithm>
#include <string>
#include <utility>

namespace usetl::pack {

using abi::PackEntry;
using abi::PackType;

namespace {

constexpr uint16_t kRootMode = 0755;
constexpr int kMaxLinks = 40;  // as Linux has it

// Puts the components of `path` before those that are left to go, the next one last.
void Push(std::string_view path, std::vector<std::string_view>* left) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end > at) parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  left->insert(left->end(), parts.rbegin(), parts.rend());
}

}  // namespace

MergedEntry MergedEntry::Root(std::span<const Pack> layers) {
  MergedEntry root;
  root.root_ = true;
  for (const Pack& layer : layers) {
    const PackEntry& entry = layer.entries()[0];
    if (entry.type == PackType::kOpaqueDirectory) root.parts_.clear();
    root.parts_.push_back({&layer, &entry});
  }
  return root;
}

bool MergedEntry::is_directory() const {
  return root_ || parts_.back().entry->type == PackType::kDirectory ||
         parts_.back().entry->type == PackType::kOpaqueDirectory;
}

bool MergedEntry::is_link() const {
  return !root_ && parts_.back().entry->type == PackType::kSymlink;
}

uint16_t MergedEntry::mode() const { return root_ ? kRootMode : parts_.back().entry->mode; }

std::string_view MergedEntry::content() const {
  if (is_directory()) return {};
  const std::span<const uint8_t> bytes = parts_[0].pack->Content(*parts_[0].entry);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::optional<MergedEntry> MergedEntry::Over(std::optional<MergedEntry> below, Part above) {
  if (above.entry->type == PackType::kWhiteout) return std::nullopt;
  MergedEntry merged;
  if (above.entry->type == PackType::kDirectory && below.has_value() && below->is_directory()) {
    merged = std::move(*below);
  }
  merged.parts_.push_back(above);
  return merged;
}

MergedEntry::Children MergedEntry::children() const {
  Children children;
  if (!is_directory()) return children;
  for (const Part& part : parts_) {
    for (const PackEntry& entry :
         part.pack->entries().subspan(part.entry->offset, part.entry->size)) {
      const std::string_view name = part.pack->Name(entry);
      std::optional<MergedEntry> below;
      if (auto node = children.extract(name)) below = std::move(node.mapped());
      std::optional<MergedEntry> merged = Over(std::move(below), {part.pack, &entry});
      if (merged.has_value()) children.emplace(name, std::move(*merged));
    }
  }
  return children;
}

std::optional<MergedEntry> MergedEntry::Child(std::string_view name) const {
  std::optional<MergedEntry> child;
  if (!is_directory()) return child;
  for (const Part& part : parts_) {
    const PackEntry* entry = part.pack->Child(*part.entry, name);
    if (entry != nullptr) child = Over(std::move(child), {part.pack, entry});
  }
  return child;
}

Result<MergedEntry> FindBelow(const MergedEntry& root, std::string_view path) {
  const auto refuse = [&](int code, const char* why) {
    return Status(code, std::string(path) + ": " + why);
  };
  std::vector<MergedEntry> way = {root};
  std::vector<std::string_view> left;
  Push(path, &left);
  for (int links = 0; !left.empty();) {
    const std::string_view name = left.back();
    left.pop_back();
    if (name == ".") continue;
    if (name == "..") {
      way.pop_back();
      if (way.empty()) return refuse(EINVAL, "leads out of the image");
      continue;
    }
    if (!way.back().is_directory()) return refuse(EINVAL, "a part of it is no directory");
    std::optional<MergedEntry> child = way.back().Child(name);
    if (!child.has_value()) return refuse(ENOENT, "the image has no such file");
    if (!child->is_link()) {
      way.push_back(std::move(*child));
      continue;
    }
    const std::string_view target = child->content();
    if (target.starts_with('/')) return refuse(EINVAL, "a link in it leads out of the image");
    if (++links > kMaxLinks) return refuse(EINVAL, "too many links");
    Push(target, &left);
  }
  return std::move(way.back());
}

}  // namespace usetl::pack
