#include "cri/server/runtime_service.h"

namespace usetl::cri {

grpc::Status RuntimeService::GetContainerEvents(
    grpc::ServerContext* context, const v1::GetEventsRequest*,
    grpc::ServerWriter<v1::ContainerEventResponse>* writer) {
  Events::Listener listener(&node_.events);
  constexpr std::chrono::milliseconds kLook{200};  // between looks at whether the client is there
  while (!context->IsCancelled()) {
    bool alive = true;
    const std::optional<Events::Event> event = listener.Next(kLook, &alive);
    if (!alive) {
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                          "events were lost: the client reads too slowly");
    }
    if (event.has_value() && !writer->Write(**event)) break;
  }
  return grpc::Status::OK;
}

}  // namespace usetl::cri
