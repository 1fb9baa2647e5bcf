#include "vmm/pack/content_stream.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

namespace usetl::pack {
namespace {

Status Allocate(size_t size, Mapping* memory) {
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (base == MAP_FAILED) return Status::Errno("allocate a buffer");
  *memory = Mapping(base, size);
  return Status();
}

}  // namespace

ContentStream::~ContentStream() { Stop(); }

Status ContentStream::Start() {
  digest_.reset(EVP_MD_CTX_new());
  if (!digest_ || EVP_DigestInit_ex(digest_.get(), EVP_sha256(), nullptr) != 1) {
    return Status(ENOMEM, "cannot start SHA-256");
  }
  for (Chunk& chunk : chunks_) free_.push_back(&chunk);
  try {
    thread_ = std::thread(&ContentStream::Run, this);
  } catch (const std::system_error& error) {
    return Status(error.code().value(), "cannot start a thread");
  }
  return Status();
}

Status ContentStream::Reserve(size_t size, uint8_t** bytes) {
  if (current_ != nullptr && current_->memory.size() - current_->used < size) Submit();
  if (current_ == nullptr) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !free_.empty() || !status_.ok(); });
    if (!status_.ok()) return status_;
    current_ = free_.front();
    free_.pop_front();
  }
  if (current_->memory.size() < size || current_->memory.data() == nullptr) {
    USETL_RETURN_IF_ERROR(Allocate(std::max(size, kChunkSize), &current_->memory));
  }
  *bytes = current_->memory.data() + current_->used;
  current_->used += size;
  return Status();
}

Status ContentStream::Finish(uint8_t digest[kDigestSize]) {
  if (current_ != nullptr) Submit();
  Stop();
  USETL_RETURN_IF_ERROR(status_);
  if (EVP_DigestFinal_ex(digest_.get(), digest, nullptr) != 1) {
    return Status(EIO, "cannot finish SHA-256");
  }
  return Status();
}

void ContentStream::Submit() {
  const std::lock_guard lock(mutex_);
  filled_.push_back(current_);
  current_ = nullptr;
  changed_.notify_all();
}

void ContentStream::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    last_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void ContentStream::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !filled_.empty() || last_; });
    if (filled_.empty()) return;
    Chunk* chunk = filled_.front();
    filled_.pop_front();
    lock.unlock();
    const Status written = Write(*chunk);
    chunk->used = 0;
    // A large program had it grown; that memory is not kept for small files.
    if (chunk->memory.size() > kChunkSize) chunk->memory.Reset();
    lock.lock();
    if (!written.ok()) {
      status_ = written;
      changed_.notify_all();
      return;
    }
    free_.push_back(chunk);
    changed_.notify_all();
  }
}

Status ContentStream::Write(const Chunk& chunk) {
  if (EVP_DigestUpdate(digest_.get(), chunk.memory.data(), chunk.used) != 1) {
    return Status(EIO, "cannot compute SHA-256");
  }
  for (size_t done = 0; done < chunk.used;) {
    const ssize_t n = pwrite(fd_, chunk.memory.data() + done, chunk.used - done, offset_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::Errno("write");
    done += n;
    offset_ += n;
  }
  return Status();
}

}  // namespace usetl::pack
