// pack_reader.h: a pack that was checked from end to end.
//
// A pack may come from elsewhere and is hostile until Open() has returned: after that every offset,
// name and link of it can be used without another look. The file must not change afterwards.
#ifndef USETL_VMM_PACK_PACK_READER_H_
#define USETL_VMM_PACK_PACK_READER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "vmm/abi/pack.h"
#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::pack {

// OK when `bytes` are a well-formed pack; says which rule is broken otherwise. `with_digest` also
// reads and hashes all of it. REQUIRES: bytes are aligned to 8.
Status CheckPack(std::span<const uint8_t> bytes, bool with_digest);

class Pack {
 public:
  const abi::PackHeader& header() const;
  std::span<const abi::PackEntry> entries() const;
  std::string_view Name(const abi::PackEntry& entry) const;
  // The content of a regular file or the target of a symlink.
  std::span<const uint8_t> Content(const abi::PackEntry& entry) const;
  // The entry at `path`, components between slashes, links not followed; nullptr when there is
  // none.
  const abi::PackEntry* Find(std::string_view path) const;
  // The child of `directory` with that name, or nullptr.
  const abi::PackEntry* Child(const abi::PackEntry& directory, std::string_view name) const;

  std::span<const uint8_t> bytes() const { return {mapping_.data(), mapping_.size()}; }
  // For mapping it elsewhere; read-only.
  int fd() const { return fd_.get(); }

 private:
  friend Result<Pack> AdoptPack(Fd fd, const std::string& name, bool with_digest);
  Pack(Fd fd, Mapping mapping) : fd_(std::move(fd)), mapping_(std::move(mapping)) {}

  Fd fd_;
  Mapping mapping_;
};

// Maps the pack at `path` and checks it as CheckPack() does.
Result<Pack> OpenPack(const std::string& path, bool with_digest);

// The same for a file that is open; errors call it `name`.
Result<Pack> AdoptPack(Fd fd, const std::string& name, bool with_digest);

}  // namespace usetl::pack

#endif  // USETL_VMM_PACK_PACK_READER_H_
