#include "vmm/pack/pack_layers.h"

namespace usetl::pack {
namespace {

using abi::PackType;

constexpr int kMostLinks = 40;          // as Linux has it
constexpr size_t kMostPath = 64 << 10;  // what is left to walk, links put in
constexpr int kMostParts = 1024;        // names on the way, those of links too

bool IsDirectory(const abi::PackEntry& entry) {
  return entry.type == PackType::kDirectory || entry.type == PackType::kOpaqueDirectory;
}

}  // namespace

Result<PackLayers> PackLayers::Open(const std::vector<std::string>& paths) {
  std::vector<Pack> packs;
  for (const std::string& path : paths) {
    Result<Pack> pack = OpenPack(path, /*with_digest=*/false);
    if (!pack.ok()) return pack.status();
    packs.push_back(std::move(*pack));
  }
  return PackLayers(std::move(packs));
}

PackLayers::Found PackLayers::Root() const {
  Found root;
  for (auto pack = packs_.rbegin(); pack != packs_.rend(); ++pack) {
    root.places.emplace_back(&*pack, &pack->entries()[0]);
    if (pack->entries()[0].type == PackType::kOpaqueDirectory) break;
  }
  return root;
}

PackLayers::Found PackLayers::Child(const Found& directory, std::string_view name) {
  Found found{std::string(name), {}};
  for (const auto& [pack, entry] : directory.places) {
    const abi::PackEntry* child = pack->Child(*entry, name);
    if (child == nullptr) continue;
    if (child->type == PackType::kWhiteout) break;
    // A file hides what is below; one below a directory is hidden.
    if (!IsDirectory(*child) && !found.places.empty()) break;
    found.places.emplace_back(pack, child);
    if (child->type != PackType::kDirectory) break;
  }
  return found;
}

Result<PackLayers::File> PackLayers::Resolve(std::string_view path) const {
  const auto failed = [&](int code, const char* why) {
    return Status(code, std::string(path) + ": " + why);
  };
  if (packs_.empty()) return failed(ENOENT, "there is no layer");
  std::vector<Found> way = {Root()};
  std::string rest(path);
  size_t at = 0;  // how much of it is walked
  int links = 0, parts = 0;
  while (at < rest.size()) {
    // An image chooses its links, and somebody waits for the answer.
    if (++parts > kMostParts) return failed(ENAMETOOLONG, "too long a way");
    const size_t slash = std::min(rest.find('/', at), rest.size());
    const std::string name = rest.substr(at, slash - at);
    at = slash + 1;
    if (name.empty() || name == ".") continue;
    if (!IsDirectory(*way.back().places.front().second)) return failed(ENOTDIR, "not a directory");
    if (name == "..") {
      if (way.size() > 1) way.pop_back();
      continue;
    }
    Found found = Child(way.back(), name);
    if (found.places.empty()) return failed(ENOENT, "there is no such file");
    const auto [pack, entry] = found.places.front();
    if (entry->type == PackType::kSymlink) {
      const auto bytes = pack->Content(*entry);
      std::string target(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      if (at < rest.size()) target.append(1, '/').append(rest, at);
      if (++links > kMostLinks || target.size() > kMostPath) {
        return failed(ELOOP, "too many links");
      }
      if (target.starts_with('/')) way.resize(1);
      rest = std::move(target);
      at = 0;
      continue;
    }
    way.push_back(std::move(found));
  }
  std::string real;
  for (size_t i = 1; i < way.size(); ++i) real.append(1, '/').append(way[i].name);
  if (real.empty()) real.push_back('/');
  const auto [pack, entry] = way.back().places.front();
  File file{std::move(real), pack, entry};
  return file;
}

}  // namespace usetl::pack
