#include "vmm/pool/runtime.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>

#include "vmm/pack/pack_reader.h"
#include "vmm/pool/kernel_file.h"

namespace usetl {
Result<Runtime> OpenRuntime(const std::string& directory, const std::string& name,
                            const std::string& kernel) {
  const std::string base = directory + "/" + name;
  if (access((base + "/snapshot").c_str(), R_OK) != 0) {
    return Status(ENOENT, "no runtime '" + name + "' in " + directory +
                              "; make one: usetl bake ROOTFS --runtime " + name + " --runtimes " +
                              directory);
  }
  Result<KernelFile> kernel_file = ReadKernel(kernel);
  if (!kernel_file.ok()) return kernel_file.status();
  std::vector<PackFile> packs;
  std::vector<Digest> digests;
  for (int layer = 0;; ++layer) {
    const std::string path = base + "/layer-" + std::to_string(layer) + ".pack";
    if (access(path.c_str(), F_OK) != 0) break;
    Result<pack::Pack> pack = pack::OpenPack(path, /*with_digest=*/false);
    if (!pack.ok()) return pack.status().Annotate(path);
    PackFile file;
    file.size = pack->bytes().size();
    std::memcpy(file.digest.data(), pack->header().digest, file.digest.size());
    file.fd = Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.fd.ok()) return Status::Errno("open " + path);
    digests.push_back(file.digest);
    packs.push_back(std::move(file));
  }
  Result<Snapshot> snapshot = Snapshot::Load(base + "/snapshot", digests, kernel_file->digest);
  if (!snapshot.ok()) return snapshot.status();
  return Runtime{name, std::move(packs), std::move(*snapshot)};
}

}  // namespace usetl
