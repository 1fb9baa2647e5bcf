// raw_list.h: an answer to a list, put together from what the store has ready.
#ifndef USETL_CRI_SERVER_RAW_LIST_H_
#define USETL_CRI_SERVER_RAW_LIST_H_

#include <grpcpp/grpcpp.h>

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

// `request`: a serialized `Request`, whose filter says which of `items` are in the answer.
template <typename Request, typename Record>
grpc::ServerUnaryReactor* AnswerList(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer& request,
                                     std::vector<std::shared_ptr<const Stored<Record>>> items,
                                     grpc::ByteBuffer* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  Request parsed;
  grpc::ByteBuffer bytes(request);  // parsing takes it
  grpc::Status status = grpc::SerializationTraits<Request>::Deserialize(&bytes, &parsed);
  if (status.ok()) {
    if (parsed.has_filter()) {
      std::erase_if(items,
                    [&](const auto& item) { return !Selects(parsed.filter(), item->record); });
    }
    *response = Concatenate(items);
  }
  reactor->Finish(status);
  return reactor;
}

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_RAW_LIST_H_
