// What is counted, and what becomes of it on its way to Prometheus.
#include "cri/metrics/metrics.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>

#include "cri/metrics/families.h"
#include "cri/metrics/worker_counts.h"
#include "cri/server/capacity.h"

namespace usetl::cri {
namespace {

using pod::Counts;
using pod::CountsPage;

Counts With(uint64_t requests, uint64_t lines_lost = 0) {
  Counts counts{};
  counts[pod::kRequests] = requests;
  counts[pod::kLinesLost] = lines_lost;
  return counts;
}

TEST(WorkerCounts, AddsUpWhatRunsAndWhatHasEnded) {
  WorkerCounts all;
  CountsPage first, second;
  const Result<Fd> a = all.Open("a"), b = all.Open("b");
  ASSERT_TRUE(a.ok() && b.ok());
  // What was counted before the page came counts too.
  ASSERT_TRUE(first.Take(*a, With(3)).ok());
  ASSERT_TRUE(second.Take(*b, With(10, 1)).ok());
  EXPECT_EQ(all.Sum(), With(13, 1));
  first.Publish(With(4));
  all.Close("a");
  first.Publish(With(100));  // nobody reads it any more
  EXPECT_EQ(all.Sum(), With(14, 1));
  all.Close("a");
  all.Close("unknown");
  EXPECT_EQ(all.Sum(), With(14, 1));
}

TEST(WorkerCounts, LaterUsetldBeginsAtZero) {
  CountsPage worker;
  WorkerCounts before, after;
  ASSERT_TRUE(worker.Take(*before.Open("a"), With(5)).ok());
  ASSERT_TRUE(worker.Take(*after.Open("a"), With(8)).ok());
  EXPECT_EQ(after.Sum(), With(0));
  worker.Publish(With(9, 2));
  EXPECT_EQ(after.Sum(), With(1, 2));
  EXPECT_EQ(before.Sum(), With(5));
}

TEST(WorkerCounts, PageCannotBeTakenAwayFromItsReader) {
  WorkerCounts all;
  const Result<Fd> page = all.Open("a");
  ASSERT_TRUE(page.ok());
  EXPECT_NE(ftruncate(page->get(), 0), 0);
  EXPECT_NE(fcntl(page->get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST(CountsPage, RefusesWhatIsNoPage) {
  CountsPage page;
  EXPECT_FALSE(page.wanted());
  const Fd empty(memfd_create("small", MFD_CLOEXEC));
  EXPECT_EQ(page.Take(empty, {}).code(), EPROTO);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Fd in(ends[0]), out(ends[1]);
  EXPECT_EQ(page.Take(in, {}).code(), EPROTO);
  EXPECT_FALSE(page.wanted());
}

constexpr char kState[] =
    R"({"runtime":"r","wanted":2,"starting":0,"idle":2,"claimed":1,"rolling":0,"cloning":0,"ending":0,
        "most":4096,"region_size":67108864,"regions":1073741824,"regions_held":2097152,"made":5,
        "rolled_back":3,"retired":2,"lost":0,"stuck":0,"claims_hit":3,"claims_waited":1,
        "claims_failed":0,"rollbacks":{"bounds_ns":[1000,2000],"counts":[1,0,2],"sum_ns":9500},
        "more":[]})";

// Series by name and labels, as they are written.
std::map<std::string, double> Series(const Families& families) {
  std::map<std::string, double> all;
  for (const auto& family : families) {
    for (const auto& metric : family.metric) {
      std::string name = family.name;
      for (const auto& label : metric.label) name += "{" + label.name + "=" + label.value + "}";
      all[name] = family.type == prometheus::MetricType::Counter ? metric.counter.value
                                                                 : metric.gauge.value;
    }
  }
  return all;
}

TEST(PoolState, BecomesFamilies) {
  const Result<PoolState> state = ParsePoolState(kState);
  ASSERT_TRUE(state.ok()) << state.status().message();
  Families families;
  AddPool(state, &families);
  auto series = Series(families);
  EXPECT_EQ(series.at("usetl_vmmd_up"), 1);
  EXPECT_EQ(series.at("usetl_pool_usfs{state=claimed}"), 1);
  EXPECT_EQ(series.at("usetl_pool_claims_total{result=hit}"), 3);
  EXPECT_EQ(series.at("usetl_pool_usfs_retired_total"), 2);
  const auto& times = families.back().metric.at(0).histogram;
  EXPECT_EQ(families.back().name, "usetl_rollback_duration_seconds");
  ASSERT_EQ(times.bucket.size(), 3u);
  EXPECT_DOUBLE_EQ(times.bucket[0].upper_bound, 1e-6);
  EXPECT_EQ(times.bucket[0].cumulative_count, 1u);
  EXPECT_EQ(times.bucket[1].cumulative_count, 1u);
  EXPECT_EQ(times.bucket[2].cumulative_count, 3u);
  EXPECT_EQ(times.sample_count, 3u);
  EXPECT_DOUBLE_EQ(times.sample_sum, 9.5e-6);
}

TEST(PoolState, HasRoomOrNot) {
  PoolState pool;
  pool.most = 10;
  pool.region_size = 64 << 20;
  pool.regions = 4 * pool.region_size;
  EXPECT_TRUE(CheckRoom(pool, 9).ok());
  EXPECT_EQ(CheckRoom(pool, 10).code(), ENOMEM);
  pool.claimed = 6;
  pool.ending = pool.cloning = 1;
  EXPECT_TRUE(CheckRoom(pool, 1).ok());
  EXPECT_NE(CheckRoom(pool, 2).message().find("8 of 10 USFs are in use"), std::string::npos);
  // Those that wait hold what others do.
  pool.regions_held = 3 * pool.region_size;
  EXPECT_TRUE(CheckRoom(pool, 0).ok());
  EXPECT_NE(CheckRoom(pool, 1).message().find("192 of 256 MB"), std::string::npos);
}

TEST(PoolState, IsCheckedAndMayBeMissing) {
  for (const char* change :
       {"\"idle\":2", "\"sum_ns\":9500", "\"counts\":[1,0,2]", "\"runtime\":\"r\""}) {
    for (const char* other :
         {"\"x\":1", "\"idle\":-1", "\"counts\":[1,2]", "\"counts\":[1,2,-3]"}) {
      std::string text = kState;
      text.replace(text.find(change), std::string(change).size(), other);
      EXPECT_EQ(ParsePoolState(text).status().code(), EPROTO) << text;
    }
  }
  EXPECT_EQ(ParsePoolState("[").status().code(), EPROTO);
  Families families;
  AddPool(ReadPoolState("/nonexistent/vmmd.sock"), &families);
  EXPECT_EQ(Series(families), (std::map<std::string, double>{{"usetl_vmmd_up", 0}}));
}

TEST(Metrics, CountsCallsRefusalsAndPulls) {
  Metrics metrics;
  metrics.CountCall("Version", 0, 0.002);
  metrics.CountCall("Version", 0, 0.5);
  metrics.CountCall("Version", 5, 0.1);
  metrics.CountCall("Other", 99, 0.1);
  metrics.CountRefusal("tty");
  metrics.CountPull(true, 100);
  metrics.CountPull(false, 20);
  const Families families = metrics.registry()->Collect();
  auto series = Series(families);
  EXPECT_EQ(series.at("usetl_cri_requests_total{code=OK}{method=Version}"), 2);
  EXPECT_EQ(series.at("usetl_cri_requests_total{code=NOT_FOUND}{method=Version}"), 1);
  EXPECT_EQ(series.at("usetl_cri_requests_total{code=UNKNOWN}{method=Other}"), 1);
  EXPECT_EQ(series.at("usetl_refusals_total{reason=tty}"), 1);
  EXPECT_EQ(series.at("usetl_image_pulls_total{result=complete}"), 1);
  EXPECT_EQ(series.at("usetl_image_pulls_total{result=failed}"), 1);
  EXPECT_EQ(series.at("usetl_image_pulled_bytes_total"), 120);
  for (const auto& family : families) {
    if (family.name != "usetl_cri_request_duration_seconds") continue;
    for (const auto& metric : family.metric) {
      if (metric.label.at(0).value != "Version") continue;
      EXPECT_EQ(metric.histogram.sample_count, 3u);
      EXPECT_DOUBLE_EQ(metric.histogram.sample_sum, 0.602);
    }
  }
}

}  // namespace
}  // namespace usetl::cri
