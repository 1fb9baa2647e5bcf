#include "cri/metrics/call_counter.h"

#include <chrono>
#include <string_view>

namespace usetl::cri {
namespace {

using grpc::experimental::InterceptionHookPoints;

class CallCounter final : public grpc::experimental::Interceptor {
 public:
  CallCounter(Metrics* metrics, std::string_view path)
      : metrics_(*metrics), method_(path.substr(path.rfind('/') + 1)) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin_;
      metrics_.CountCall(method_, methods->GetSendStatus().error_code(), took.count());
    }
    methods->Proceed();
  }

 private:
  Metrics& metrics_;
  const std::string_view method_;  // of the service's table, which outlives calls
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

grpc::experimental::Interceptor* CallCounterFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  return new CallCounter(&metrics_, info->method());  // gRPC deletes it
}

}  // namespace usetl::cri
