// metrics.cc: the state of the pool in Prometheus' text format, version 0.0.4.
#include <array>
#include <charconv>
#include <initializer_list>

#include "vmm/vmmd/daemon.h"

namespace usetl {
namespace {

// Families as usetld has them of the same numbers (cri/metrics/families.cc).
class Text {
 public:
  void Gauge(const char* name, const char* help, uint64_t value) {
    Head(name, help, "gauge");
    Line(name, "", value);
  }
  void Counter(const char* name, const char* help, uint64_t value) {
    Head(name, help, "counter");
    Line(name, "", value);
  }
  // One sample for each value of a label.
  void Labelled(const char* type, const char* name, const char* help, const char* label,
                std::initializer_list<std::pair<const char*, uint64_t>> samples) {
    Head(name, help, type);
    for (const auto& [which, value] : samples) {
      Line(name, "{" + std::string(label) + "=\"" + which + "\"}", value);
    }
  }
  void Histogram(const char* name, const char* help, const RollbackTimes& times) {
    Head(name, help, "histogram");
    uint64_t cumulative = 0;
    for (size_t i = 0; i < times.counts.size(); ++i) {
      cumulative += times.counts[i];
      const std::string bound =
          i < times.kBounds.size() ? Seconds(times.kBounds[i]) : std::string("+Inf");
      Line(std::string(name) + "_bucket", "{le=\"" + bound + "\"}", cumulative);
    }
    text_ += std::string(name) + "_sum " + Seconds(times.sum_ns) + "\n";
    Line(std::string(name) + "_count", "", cumulative);
  }
  std::string Take() { return std::move(text_); }

 private:
  static std::string Seconds(uint64_t nanoseconds) {
    std::array<char, 32> digits;
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(),
                                            static_cast<double>(nanoseconds) / 1e9);
    return error == std::errc() ? std::string(digits.data(), end) : "0";
  }
  void Head(const char* name, const char* help, const char* type) {
    text_ += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
  }
  void Line(const std::string& name, const std::string& labels, uint64_t value) {
    text_ += name + labels + " " + std::to_string(value) + "\n";
  }

  std::string text_;
};

}  // namespace

std::string Vmmd::Metrics() const {
  Text text;
  text.Gauge("usetl_pool_wanted_usfs", "Idle USFs that are kept ready", pool_->wanted());
  text.Labelled("gauge", "usetl_pool_usfs", "USFs by what they do", "state",
                {{"starting", Count(UsfState::kStarting)},
                 {"idle", Count(UsfState::kIdle)},
                 {"claimed", Count(UsfState::kClaimed)},
                 {"rolling", Count(UsfState::kRolling)},
                 {"cloning", Count(UsfState::kCloning)},
                 {"ending", reaper_->size()}});
  text.Gauge("usetl_pool_most_usfs", "USFs that the node can hold", options_.pool.most);
  text.Gauge("usetl_pool_image_pools", "Images that have USFs of their own", image_pools_.size());
  text.Gauge("usetl_pool_regions_bytes", "Host regions that functions may hold in all",
             options_.regions);
  text.Gauge("usetl_pool_regions_held_bytes", "Host regions that functions hold", RegionsHeld());
  text.Labelled("counter", "usetl_pool_claims_total",
                "Claims of USFs: one was ready, it had to be waited for, none came", "result",
                {{"hit", claims_hit_}, {"waited", claims_waited_}, {"failed", claims_failed_}});
  text.Counter("usetl_pool_usfs_made_total", "USFs started", counters_.made);
  text.Counter("usetl_pool_usfs_retired_total", "USFs ended, whatever the cause",
               counters_.retired);
  text.Counter("usetl_pool_usfs_lost_total", "USFs whose process died", counters_.lost);
  text.Counter("usetl_pool_usfs_stuck_total", "USFs that did not start or roll back in time",
               counters_.stuck);
  text.Histogram("usetl_rollback_duration_seconds", "How long USFs took to roll back",
                 counters_.rollback_times);
  return text.Take();
}

}  // namespace usetl
