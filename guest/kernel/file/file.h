// file.h: an open file description, the base of everything a descriptor can name.
//
// Errors are negative errno values. `user` pointers belong to the application: they are read and
// written only through memory/user.h. The kernel runs on one vCPU and switches threads only where a
// call blocks, so nothing here is locked.
#ifndef USETL_GUEST_KERNEL_FILE_FILE_H_
#define USETL_GUEST_KERNEL_FILE_FILE_H_

#include <asm/errno.h>

#include <cstddef>
#include <cstdint>

namespace usetl::kernel {

struct Stat;   // linux/stat.h
class Socket;  // socket/socket.h
class WaitQueue;

// What mmap may do with a file's bytes.
struct MapSource {
  uint64_t address = 0;  // guest-physical = kernel-virtual address of the byte at the asked offset
  uint64_t available = 0;  // bytes there until the end of content, before rounding to a page
  bool writable = false;   // shared writable mappings allowed
  bool kept = false;       // only as long as the file is open: a mapping has to refer to it
};

struct MapAccess {
  bool shared, writable;
};

class File {
 public:
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void Ref() { ++references_; }
  // Destroys the description when the last reference goes.
  void Unref();

  // At the description's own position, where it has one.
  virtual int64_t Read(void* user, uint64_t size);
  virtual int64_t Write(const void* user, uint64_t size);
  // At `offset`; -ESPIPE where there is no position.
  virtual int64_t ReadAt(void* user, uint64_t size, uint64_t offset);
  virtual int64_t WriteAt(const void* user, uint64_t size, uint64_t offset);
  virtual int64_t Seek(int64_t offset, int whence);
  virtual int64_t GetStat(Stat* stat);  // `stat` is kernel memory
  virtual int64_t Ioctl(uint64_t request, uint64_t argument);
  virtual int64_t Truncate(uint64_t size);
  virtual int64_t ReadDirectory(void* user, uint64_t size);  // linux_dirent64 records
  virtual int64_t Map(uint64_t offset, uint64_t length, const MapAccess& access, MapSource* source);
  // While it is pinned, what Map has given stays where it is. Each mapping pins once.
  virtual void Pin() {}
  virtual void Unpin() {}
  // POLLIN, POLLOUT, ... that hold now. Files that never block answer both at once.
  virtual uint32_t Poll();
  // Woken when Poll's answer may have changed; null for files that never block.
  virtual WaitQueue* wait_queue() { return nullptr; }
  virtual Socket* AsSocket() { return nullptr; }
  // Path for /proc/self/fd; writes at most `size` bytes, returns the length.
  virtual int64_t Name(char* buffer, uint64_t size);

  uint32_t status_flags = 0;  // access mode, O_APPEND, O_NONBLOCK as open(2) and fcntl(2) have them

 protected:
  virtual ~File() = default;
  friend class FileDeleter;

 private:
  uint32_t references_ = 1;
};

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_FILE_H_
