// raw_list.h: an answer to a list, put together from what the store has ready.
#ifndef USETL_CRI_SERVER_RAW_LIST_H_
#define USETL_CRI_SERVER_RAW_LIST_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/method_handler.h>
#include <grpcpp/support/sync_stream.h>

#include <cstring>
#include <memory>
#include <vector>

#include "cri/server/views.h"
#include "cri/store/store.h"

namespace usetl::cri {

template <typename Record>
grpc::ByteBuffer Concatenate(const std::vector<std::shared_ptr<const Stored<Record>>>& items) {
  size_t size = 0;
  for (const auto& item : items) size += item->listed.size();
  grpc_slice bytes = grpc_slice_malloc(size);
  uint8_t* to = GRPC_SLICE_START_PTR(bytes);
  for (const auto& item : items) {
    std::memcpy(to, item->listed.data(), item->listed.size());
    to += item->listed.size();
  }
  const grpc::Slice slice(bytes, grpc::Slice::STEAL_REF);
  return grpc::ByteBuffer(&slice, 1);
}

// One call of a list's method: its request and its answer are bytes.
using RawCall = grpc::ServerUnaryStreamer<grpc::ByteBuffer, grpc::ByteBuffer>;
using RawHandler = grpc::internal::StreamedUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>;

// Answers with those of `items` that the request's filter selects.
template <typename Request, typename Record>
grpc::Status AnswerList(RawCall* call, std::vector<std::shared_ptr<const Stored<Record>>> items) {
  grpc::ByteBuffer bytes;
  if (!call->Read(&bytes)) return grpc::Status(grpc::StatusCode::CANCELLED, "the client left");
  Request request;
  grpc::Status status = grpc::SerializationTraits<Request>::Deserialize(&bytes, &request);
  if (!status.ok()) return status;
  if (request.has_filter()) {
    std::erase_if(items,
                  [&](const auto& item) { return !Selects(request.filter(), item->record); });
  }
  call->Write(Concatenate(items));
  return grpc::Status::OK;
}

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_RAW_LIST_H_
