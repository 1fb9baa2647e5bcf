#include "cri/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <map>
#include <mutex>
#include <string>

namespace usetl::cri {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;

// Lists take a fraction of a millisecond, starts some, pulls minutes.
const Histogram::BucketBoundaries kCallSeconds = {0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                  0.025,   0.05,   0.1,   0.25,   0.5,   1,
                                                  2.5,     5,      10,    30,     60,    300};

const char* CodeName(int code) {
  static constexpr std::array kNames = {"OK",
                                        "CANCELLED",
                                        "UNKNOWN",
                                        "INVALID_ARGUMENT",
                                        "DEADLINE_EXCEEDED",
                                        "NOT_FOUND",
                                        "ALREADY_EXISTS",
                                        "PERMISSION_DENIED",
                                        "RESOURCE_EXHAUSTED",
                                        "FAILED_PRECONDITION",
                                        "ABORTED",
                                        "OUT_OF_RANGE",
                                        "UNIMPLEMENTED",
                                        "INTERNAL",
                                        "UNAVAILABLE",
                                        "DATA_LOSS",
                                        "UNAUTHENTICATED"};
  return code >= 0 && static_cast<size_t>(code) < kNames.size() ? kNames[code] : "UNKNOWN";
}

Family<Counter>& AddCounter(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
}

}  // namespace

struct Metrics::Rep {
  const std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  Family<Counter>& calls =
      AddCounter(registry.get(), "usetl_cri_requests_total", "CRI calls by method and gRPC code");
  Family<Histogram>& call_seconds = prometheus::BuildHistogram()
                                        .Name("usetl_cri_request_duration_seconds")
                                        .Help("How long CRI calls took, streams included")
                                        .Register(*registry);
  Family<Counter>& refusals =
      AddCounter(registry.get(), "usetl_refusals_total",
                 "Pods and containers refused for what a micro-VM cannot be or have");
  Family<Counter>& pulls =
      AddCounter(registry.get(), "usetl_image_pulls_total", "Pulls by what became of them");
  Counter& pulled_bytes = AddCounter(registry.get(), "usetl_image_pulled_bytes_total",
                                     "Bytes of layers that came from registries")
                              .Add({});
  Counter& complete = pulls.Add({{"result", "complete"}});
  Counter& failed = pulls.Add({{"result", "failed"}});

  // A family looks its members up by a hash of all labels, after making one anew.
  std::mutex mutex;
  std::map<std::pair<std::string, int>, Counter*> call_counters;
  std::map<std::string, Histogram*, std::less<>> call_histograms;
};

Metrics::Metrics() : rep_(std::make_unique<Rep>()) {}
Metrics::~Metrics() = default;

const std::shared_ptr<prometheus::Registry>& Metrics::registry() const { return rep_->registry; }

void Metrics::CountCall(std::string_view method, int code, double seconds) {
  const std::lock_guard lock(rep_->mutex);
  const std::string name(method);
  Counter*& counter = rep_->call_counters[{name, code}];
  if (counter == nullptr) {
    counter = &rep_->calls.Add({{"method", name}, {"code", CodeName(code)}});
  }
  counter->Increment();
  Histogram*& histogram = rep_->call_histograms[name];
  if (histogram == nullptr) histogram = &rep_->call_seconds.Add({{"method", name}}, kCallSeconds);
  histogram->Observe(seconds);
}

void Metrics::CountRefusal(std::string_view reason) {
  rep_->refusals.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::CountPull(bool complete, uint64_t bytes) {
  (complete ? rep_->complete : rep_->failed).Increment();
  rep_->pulled_bytes.Increment(static_cast<double>(bytes));
}

}  // namespace usetl::cri
