#include <spdlog/spdlog.h>

#include <chrono>
#include <functional>

#include "cri/container/function.h"
#include "cri/server/image_service.h"
#include "cri/server/views.h"

namespace usetl::cri {
namespace {

// Says in the log how a pull goes on, every few seconds.
class Reporter {
 public:
  explicit Reporter(std::string image) : image_(std::move(image)) {}
  // One call at a time, on the pull's threads.
  void operator()(const image::Progress& progress) {
    fetched_ = progress.bytes_fetched;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::seconds(5)) return;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    spdlog::info("pulling {}: {} of {} MB, {:.1f} MB/s, {} of {} layers done", image_,
                 progress.bytes_done >> 20, progress.bytes >> 20,
                 static_cast<double>(progress.bytes_done) / (1 << 20) / seconds,
                 progress.layers_done, progress.layers);
    last_ = now;
  }
  uint64_t fetched() const { return fetched_; }

 private:
  const std::string image_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_ = begin_;
  uint64_t fetched_ = 0;
};

}  // namespace

grpc::Status ImageService::PullImage(grpc::ServerContext* context,
                                     const v1::PullImageRequest* request,
                                     v1::PullImageResponse* response) {
  const v1::AuthConfig& given = request->auth();
  image::Auth auth;
  auth.username = given.username();
  auth.password = given.password();
  auth.encoded = given.auth();
  auth.identity_token = given.identity_token();
  auth.registry_token = given.registry_token();
  Reporter reporter(request->image().image());
  Result<std::string> id = node_.images->Pull(request->image().image(), auth, std::ref(reporter),
                                              [context] { return context->IsCancelled(); });
  node_.metrics.CountPull(id.ok(), reporter.fetched());
  if (!id.ok()) return ImageToGrpc(id.status());
  // Nobody waits for what comes of it here.
  if (Result<image::ImagePtr> image = node_.images->Find(*id); image.ok()) {
    if (NamedRuntime(**image).empty()) node_.runtimes->Prepare(*image);
  }
  response->set_image_ref(*id);
  return grpc::Status::OK;
}

}  // namespace usetl::cri
