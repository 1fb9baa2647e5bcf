#include "vmm/pool/bake_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "vmm/base/fd.h"
#include "vmm/pack/pack_tree.h"

namespace usetl {
namespace {

constexpr char kLayoutMark[] = "oci-layout";  // image-layout.md of the OCI image specification

// The names that image archives have at their top: those of a layout, and in docker-save archives
// the 64 hex digits of a layer or configuration.
bool IsOfImage(const std::string& name) {
  constexpr const char* kNames[] = {kLayoutMark, "blobs", "index.json", "manifest.json",
                                    "repositories"};
  constexpr size_t kDigits = 64;
  const size_t digits = std::min(name.find_first_not_of("0123456789abcdef"), name.size());
  const std::string ending = digits == kDigits ? name.substr(kDigits) : "-";
  return std::ranges::find(kNames, name) != std::end(kNames) || ending.empty() ||
         ending == ".json" || ending == ".tar";
}

}  // namespace

Result<BakeSource> FindOutSource(const std::string& source) {
  struct stat info;
  if (stat(source.c_str(), &info) != 0) {
    const bool is_path = source.starts_with('/') || source.starts_with('.');
    if (errno == ENOENT && !is_path) return BakeSource::kImageName;
    return Status::Errno(source);
  }
  if (S_ISDIR(info.st_mode)) {
    const bool is_layout = access((source + "/" + kLayoutMark).c_str(), F_OK) == 0;
    return is_layout ? BakeSource::kImageFile : BakeSource::kRootFileSystem;
  }
  const Fd archive(open(source.c_str(), O_RDONLY | O_CLOEXEC));
  if (!archive.ok()) return Status::Errno("open " + source);
  const Result<std::string> first = pack::FirstName(archive.get());
  if (!first.ok()) return first.status().Annotate(source);
  return IsOfImage(*first) ? BakeSource::kImageFile : BakeSource::kRootFileSystem;
}

}  // namespace usetl
