// What a container's gateway, its way out and its log have counted.
#include <algorithm>

#include "vmm/proxy/pod/container.h"

namespace usetl::pod {

Counts Container::Counted() const {
  Counts counts{};
  if (front_ != nullptr) {
    const gateway::Counters& front = front_->counters();
    counts[kRequests] = front.requests;
    counts[kRequestsCancelled] = front.cancelled;
    counts[kRequestsMalformed] = front.malformed;
    counts[kConnections] = front.connections;
    counts[kConnectionsRefused] = front.connections_refused;
    counts[kBytesReceived] = front.bytes_in;
    counts[kBytesSent] = front.bytes_out;
    counts[kRequestMicroseconds] = front.duration_us;
    std::ranges::copy(front.status_class, counts.begin() + kAnswers);
    std::ranges::copy(front.durations, counts.begin() + kRequestTimes);
  }
  if (etl_ != nullptr) {
    const etl::Counters& etl = etl_->counters();
    counts[kEtlRequests] = etl.requests;
    counts[kEtlBytesReceived] = etl.bytes_in;
    counts[kEtlBytesSent] = etl.bytes_out;
    counts[kEtlDenied] = etl.denied;
    counts[kEtlErrors] = etl.errors;
  }
  if (log_ != nullptr) counts[kLinesLost] = log_->lines_lost();
  return counts;
}

}  // namespace usetl::pod
