// snapshot_file.cc: snapshots on disk.
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "vmm/snapshot/snapshot.h"

namespace usetl {
namespace {

struct FileHeader {
  char magic[16];
  uint64_t size;  // of the memfd's bytes that follow
  uint8_t checksum[32];
  uint8_t padding[4096 - 56];
};
static_assert(sizeof(FileHeader) == 4096);
constexpr char kMagic[16] = "usetl snapshot\n";

Status Checksum(const uint8_t* bytes, uint64_t size, uint8_t out[32]) {
  unsigned length = 32;
  if (EVP_Digest(bytes, size, out, &length, EVP_sha256(), nullptr) != 1) {
    return Status(EIO, "SHA-256 failed");
  }
  return Status();
}

Status WriteAll(int fd, const void* bytes, uint64_t size, const std::string& path) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  while (size > 0) {
    const ssize_t n = write(fd, from, size);
    if (n < 0) return Status::Errno("write " + path);
    from += n, size -= n;
  }
  return Status();
}

Status ReadAll(int fd, uint8_t* to, uint64_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t n = read(fd, to, size);
    if (n < 0) return Status::Errno("read " + path);
    if (n == 0) return Status(EINVAL, path + ": the snapshot was cut while it was read");
    to += n, size -= n;
  }
  return Status();
}

// The file that a snapshot is loaded into, writable.
Result<Fd> NewMemory(uint64_t size) {
  Result<Fd> fd = Snapshot::NewFile();
  if (fd.ok() && ftruncate(fd->get(), static_cast<off_t>(size)) != 0) {
    return Status::Errno("sizing a snapshot");
  }
  return fd;
}

// Nobody can write it any more.
Status Seal(const Fd& fd) {
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) == 0) return Status();
  return Status::Errno("sealing a snapshot");
}

}  // namespace

Status Snapshot::Store(const std::string& path) const {
  FileHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.size = clean_.size();
  USETL_RETURN_IF_ERROR(Checksum(clean_.data(), clean_.size(), header.checksum));
  const std::string temporary = path + ".new";
  const Fd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.ok()) return Status::Errno("create " + temporary);
  Status status = WriteAll(file.get(), &header, sizeof header, temporary);
  if (status.ok()) status = WriteAll(file.get(), clean_.data(), clean_.size(), temporary);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = Status::Errno("rename " + temporary);
  }
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

Status Snapshot::CheckOrigin(const SnapshotIndex& index, const std::vector<Digest>& packs,
                             const Digest& kernel) {
  USETL_RETURN_IF_ERROR(CheckVersion(index));
  const Result<std::string> cpu = CpuFingerprint();
  if (!cpu.ok()) return cpu.status();
  if (strnlen(index.cpu, sizeof index.cpu) == sizeof index.cpu || *cpu != index.cpu) {
    return Status(ESTALE, "baked on another CPU model; bake the runtime again here");
  }
  if (index.kernel != kernel) {
    return Status(ESTALE, "baked with another guest kernel; bake the runtime again");
  }
  if (packs.size() > std::size(index.packs) || index.pack_count != packs.size() ||
      !std::equal(packs.begin(), packs.end(), index.packs)) {
    return Status(ESTALE, "baked from another image; bake the runtime again");
  }
  return Status();
}

Result<Snapshot> Snapshot::Load(const std::string& path, const std::vector<Digest>& packs,
                                const Digest& kernel) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return Status::Errno("open " + path);
  const Status bad(EINVAL, path + ": the snapshot is damaged; bake the runtime again");
  struct stat info;
  FileHeader header;
  if (fstat(file.get(), &info) != 0) return Status::Errno("stat " + path);
  if (read(file.get(), &header, sizeof header) != sizeof header) return bad;
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 ||
      header.size != static_cast<uint64_t>(info.st_size) - sizeof header ||
      header.size < sizeof(SnapshotIndex)) {
    return bad;
  }
  if (header.size > kMostSize) return TooLarge(header.size).Annotate(path);
  Result<Fd> memory = NewMemory(header.size);
  if (!memory.ok()) return memory.status();
  void* mapped = mmap(nullptr, header.size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->get(), 0);
  if (mapped == MAP_FAILED) return Status::Errno("mapping a snapshot");
  Mapping bytes(mapped, header.size);
  USETL_RETURN_IF_ERROR(ReadAll(file.get(), bytes.data(), sizeof(SnapshotIndex), path));
  const auto& index = *reinterpret_cast<const SnapshotIndex*>(bytes.data());
  const Status fits = CheckOrigin(index, packs, kernel);
  if (!fits.ok()) return fits.Annotate(path);
  USETL_RETURN_IF_ERROR(
      ReadAll(file.get(), bytes.data() + sizeof index, header.size - sizeof index, path));
  uint8_t checksum[32];
  USETL_RETURN_IF_ERROR(Checksum(bytes.data(), bytes.size(), checksum));
  if (std::memcmp(checksum, header.checksum, sizeof checksum) != 0) return bad;
  bytes.Reset();
  USETL_RETURN_IF_ERROR(Seal(*memory));
  Result<Snapshot> snapshot = Adopt(memory->Release());
  if (!snapshot.ok()) return snapshot.status().Annotate(path);
  return snapshot;
}

}  // namespace usetl
