// file_origin.h: objects behind file: URLs, in directories that the operator names.
//
// file:///NAME/PATH is PATH below the directory of NAME. Every path is resolved by the kernel with
// openat2(RESOLVE_BENEATH): neither ".." nor a symbolic link leaves the directory.
#ifndef USETL_VMM_PROXY_ETL_FILE_ORIGIN_H_
#define USETL_VMM_PROXY_ETL_FILE_ORIGIN_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::etl {

// An object open for reading.
struct ObjectReader {
  Fd fd;
  uint64_t size = 0;
};

// An object being written: a hidden temporary file beside it, renamed by Commit(), removed when it
// goes without.
class ObjectWriter {
 public:
  ObjectWriter(ObjectWriter&&) = default;
  ObjectWriter& operator=(ObjectWriter&&) = delete;
  ~ObjectWriter();

  Status Write(const void* bytes, size_t size);
  // True: the object is new. The writer is done.
  Result<bool> Commit();

 private:
  friend class ObjectStore;
  ObjectWriter(Fd directory, Fd fd, std::string temporary, std::string name)
      : directory_(std::move(directory)),
        fd_(std::move(fd)),
        temporary_(std::move(temporary)),
        name_(std::move(name)) {}

  Fd directory_;
  Fd fd_;
  std::string temporary_;
  std::string name_;
};

// Copies share the directories. All calls may block on the host's file system, briefly.
class ObjectStore {
 public:
  // Opens `directory` for objects named file:///NAME/...; `writable` permits PUT, POST and DELETE.
  // EINVAL: `name` is not [A-Za-z0-9._-]+ or taken.
  Status Add(std::string_view name, const std::string& directory, bool writable);
  bool empty() const { return roots_.empty(); }

  // Errors are those of the file system: ENOENT, EACCES, EISDIR, EXDEV (leaves the directory),
  // EROFS (not writable), EINVAL (not a URL of objects).
  Result<ObjectReader> Open(std::string_view url) const;
  Result<ObjectWriter> Create(std::string_view url) const;
  Status Remove(std::string_view url) const;

 private:
  struct Root {
    std::shared_ptr<Fd> directory;
    bool writable = false;
  };
  struct Place {
    const Root* root;
    std::string path;  // relative, not empty
  };
  Result<Place> Locate(std::string_view url) const;

  std::map<std::string, Root, std::less<>> roots_;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_FILE_ORIGIN_H_
