#include "guest/kernel/socket/message.h"

#include "guest/kernel/memory/allocator.h"
#include "guest/kernel/memory/user.h"

namespace usetl::kernel {
namespace {

constexpr uint64_t kLargest = 256 << 10;  // beyond what any socket takes at once

// The pieces of a message in one buffer: a message is sent and received as a whole.
struct Gathered {
  ~Gathered() { Free(bytes); }
  int64_t Reserve(uint64_t wanted) {
    size = wanted;
    if (!MayBuffer(size / 4096 + 1)) return -ENOBUFS;
    bytes = static_cast<uint8_t*>(Allocate(size + 1));
    return bytes == nullptr ? -ENOBUFS : 0;
  }
  uint8_t* bytes = nullptr;
  uint64_t size = 0;
};

// The sum of the pieces, kLargest at most; or -EFAULT.
int64_t SizeOf(const IoVec* pieces, uint64_t count) {
  uint64_t size = 0;
  for (uint64_t i = 0; i < count; ++i) {
    IoVec piece;
    if (!GetUser(&piece, pieces + i)) return -EFAULT;
    size += piece.size < kLargest ? piece.size : kLargest;
    if (size > kLargest) size = kLargest;
  }
  return static_cast<int64_t>(size);
}

int64_t SendWhole(Socket* socket, const IoVec* pieces, uint64_t count, uint32_t flags,
                  const SocketAddress* to) {
  const int64_t size = SizeOf(pieces, count);
  if (size < 0) return size;
  Gathered message;
  if (const int64_t error = message.Reserve(size); error != 0) return error;
  uint64_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    IoVec piece;
    if (!GetUser(&piece, pieces + i)) return -EFAULT;
    if (piece.size > message.size - at) return -EMSGSIZE;
    if (!CopyFromUser(message.bytes + at, piece.base, piece.size)) return -EFAULT;
    at += piece.size;
  }
  return socket->Send(message.bytes, at, flags, to);
}

int64_t ReceiveWhole(Socket* socket, const IoVec* pieces, uint64_t count, uint32_t flags,
                     SocketAddress* from, bool* cut) {
  const int64_t room = SizeOf(pieces, count);
  if (room < 0) return room;
  while (true) {
    // Waits without holding memory, and takes what the message needs.
    const int64_t whole =
        socket->Receive(nullptr, 0, flags | kMessagePeek | kMessageTruncate, nullptr);
    if (whole < 0) return whole;
    Gathered message;
    if (const int64_t error = message.Reserve(whole < room ? whole : room); error != 0) {
      return error;
    }
    const int64_t got = socket->Receive(message.bytes, message.size,
                                        flags | kMessageTruncate | kMessageDontWait, from);
    const bool taken_by_another =
        got == -EAGAIN && !(flags & kMessageDontWait) && !(socket->status_flags & kNonBlock);
    if (taken_by_another) continue;
    if (got < 0) return got;
    *cut = got > room;
    const uint64_t size = static_cast<uint64_t>(got) < message.size ? got : message.size;
    uint64_t at = 0;
    for (uint64_t i = 0; i < count && at < size; ++i) {
      IoVec piece;
      if (!GetUser(&piece, pieces + i)) return -EFAULT;
      const uint64_t part = size - at < piece.size ? size - at : piece.size;
      if (!CopyToUser(piece.base, message.bytes + at, part)) return -EFAULT;
      at += part;
    }
    return flags & kMessageTruncate ? got : static_cast<int64_t>(size);
  }
}

// Piece by piece, for streams. `transfer(piece, more)`: `more` when something has been moved.
template <typename Transfer>
int64_t EachPiece(const IoVec* pieces, uint64_t count, Transfer transfer) {
  uint64_t done = 0;
  for (uint64_t i = 0; i < count; ++i) {
    IoVec piece;
    int64_t moved = -EFAULT;
    if (GetUser(&piece, pieces + i)) {
      if (piece.size == 0) continue;
      moved = transfer(piece, done != 0);
    }
    if (moved < 0) return done != 0 ? static_cast<int64_t>(done) : moved;
    done += static_cast<uint64_t>(moved);
    if (static_cast<uint64_t>(moved) < piece.size) break;
  }
  return static_cast<int64_t>(done);
}

}  // namespace

int64_t SendPieces(Socket* socket, const IoVec* pieces, uint64_t count, uint32_t flags,
                   const SocketAddress* to) {
  if (count > kMostPieces) return -EMSGSIZE;
  if (socket->type() != kStream) return SendWhole(socket, pieces, count, flags, to);
  return EachPiece(pieces, count, [&](const IoVec& piece, bool) {
    return socket->Send(piece.base, piece.size, flags, to);
  });
}

int64_t ReceivePieces(Socket* socket, const IoVec* pieces, uint64_t count, uint32_t flags,
                      SocketAddress* from, bool* cut) {
  *cut = false;
  if (count > kMostPieces) return -EMSGSIZE;
  if (socket->type() != kStream) {
    return ReceiveWhole(socket, pieces, count, flags, from, cut);
  }
  return EachPiece(pieces, count, [&](const IoVec& piece, bool more) -> int64_t {
    if (more && (flags & kMessagePeek)) return 0;  // it would be the same bytes
    // Only the first one waits, unless all is wanted.
    const uint32_t wait = more && !(flags & kMessageWaitAll) ? kMessageDontWait : 0u;
    return socket->Receive(piece.base, piece.size, flags | wait, nullptr);
  });
}

}  // namespace usetl::kernel
