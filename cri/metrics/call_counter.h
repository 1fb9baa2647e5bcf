// call_counter.h: sees every CRI call end.
#ifndef USETL_CRI_METRICS_CALL_COUNTER_H_
#define USETL_CRI_METRICS_CALL_COUNTER_H_

#include <grpcpp/support/server_interceptor.h>

#include "cri/metrics/metrics.h"

namespace usetl::cri {

// Counts method, code and duration of each call. `metrics` outlives the server.
class CallCounterFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallCounterFactory(Metrics* metrics) : metrics_(*metrics) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  Metrics& metrics_;
};

}  // namespace usetl::cri

#endif  // USETL_CRI_METRICS_CALL_COUNTER_H_
