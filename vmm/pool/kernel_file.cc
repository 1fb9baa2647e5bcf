#include "vmm/pool/kernel_file.h"

#include <fcntl.h>
#include <openssl/evp.h>

namespace usetl {

Result<KernelFile> ReadKernel(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return Status::Errno("open " + path);
  KernelFile kernel;
  kernel.bytes.resize(2 << 20);
  size_t size = 0;
  for (ssize_t n;
       (n = read(fd.get(), kernel.bytes.data() + size, kernel.bytes.size() - size)) != 0;) {
    if (n < 0) return Status::Errno("read " + path);
    size += n;
  }
  if (size == kernel.bytes.size()) return Status(EFBIG, path + " is too large for a guest kernel");
  kernel.bytes.resize(size);
  unsigned length = kernel.digest.size();
  if (EVP_Digest(kernel.bytes.data(), size, kernel.digest.data(), &length, EVP_sha256(), nullptr) !=
      1) {
    return Status(EIO, "SHA-256 failed");
  }
  return kernel;
}

}  // namespace usetl
