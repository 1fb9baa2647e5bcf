// Whether a node can hold another function: what counts, and who waits for usetl-vmmd.
#include "cri/server/capacity.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "tests/unit/temporary_directory.h"
#include "vmm/ipc/socket.h"
#include "vmm/pool/protocol.h"

namespace usetl::cri {
namespace {

PoolState Pool(uint64_t most) {
  PoolState pool;
  pool.most = most;
  pool.region_size = 1 << 20;
  pool.regions = 100 << 20;
  return pool;
}

std::string Text(const PoolState& pool) {
  nlohmann::json text = {{"runtime", "r"},
                         {"most", pool.most},
                         {"region_size", pool.region_size},
                         {"regions", pool.regions},
                         {"rollbacks",
                          {{"sum_ns", 0},
                           {"bounds_ns", nlohmann::json::array()},
                           {"counts", nlohmann::json::array({0})}}}};
  for (const char* zero : {"wanted", "starting", "idle", "claimed", "rolling", "cloning", "ending",
                           "regions_held", "made", "rolled_back", "retired", "lost", "stuck",
                           "claims_hit", "claims_waited", "claims_failed"}) {
    text[zero] = 0;
  }
  return text.dump();
}

class CapacityTest : public testing::Test {
 protected:
  CapacityTest() {
    Result<std::unique_ptr<Store>> opened = Store::Open(directory_.path() / "state.db");
    EXPECT_TRUE(opened.ok());
    store_ = std::move(*opened);
    SandboxRecord pod;
    pod.set_id("pod");
    pod.set_state(runtime::v1::SANDBOX_READY);
    pod.set_created_at(1);
    EXPECT_TRUE(store_->Add(pod).ok());
    Result<Fd> listener = ipc::Listen(vmmd_);
    EXPECT_TRUE(listener.ok());
    listener_ = std::move(*listener);
  }
  void Create(const std::string& id) {
    ContainerRecord record;
    record.set_id(id);
    record.set_sandbox_id("pod");
    record.set_state(runtime::v1::CONTAINER_CREATED);
    EXPECT_TRUE(store_->Add(record).ok());
  }
  // Plays usetl-vmmd: whoever asks next.
  Fd Asked() {
    Fd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(ipc::Receive(socket.get()).ok());
    return socket;
  }
  static void Answer(const Fd& socket, const PoolState& state) {
    const std::string text = Text(state);
    pool::ReplyRecord reply{};
    reply.reply = pool::Reply::kState;
    reply.text_size = static_cast<uint32_t>(text.size());
    EXPECT_TRUE(ipc::Send(socket.get(), ipc::Bytes(reply),
                          {reinterpret_cast<const uint8_t*>(text.data()), text.size()})
                    .ok());
  }

  const test::TemporaryDirectory directory_;
  const std::string vmmd_ = directory_.path() / "vmmd";
  std::unique_ptr<Store> store_;
  Fd listener_;
};

TEST_F(CapacityTest, AContainerCountsOnce) {
  Capacity capacity(store_.get(), vmmd_, std::chrono::hours(1));
  capacity.Learn(Pool(3));
  {
    const Result<Capacity::Place> place = capacity.Take("a");
    ASSERT_TRUE(place.ok()) << place.status().message();
    Create("a");
    capacity.Learn(Pool(2));  // it is in the store, and its place is not given back yet
    EXPECT_TRUE(capacity.Check().ok());
  }
  capacity.Learn(Pool(2));
  EXPECT_TRUE(capacity.Check().ok());
  Create("b");
  std::thread usetl_vmmd([&] { Answer(Asked(), Pool(2)); });
  capacity.Learn(Pool(2));
  EXPECT_EQ(capacity.Check().code(), ENOMEM);
  usetl_vmmd.join();
}

TEST_F(CapacityTest, ASlowAnswerKeepsNobodyElse) {
  Capacity capacity(store_.get(), vmmd_, std::chrono::hours(1));
  capacity.Learn(Pool(1));
  Result<Capacity::Place> taken = capacity.Take("a");
  ASSERT_TRUE(taken.ok());
  Capacity::Place place = std::move(*taken);
  Status checked;
  std::thread asks([&] { checked = capacity.Check(); });  // it seems to be full
  const Fd question = Asked();
  capacity.Learn(Pool(9));
  EXPECT_TRUE(capacity.Check().ok());
  EXPECT_TRUE(capacity.Take("b").ok());
  place.reset();
  Answer(question, Pool(0));
  asks.join();
  EXPECT_EQ(checked.code(), ENOMEM);
}

TEST_F(CapacityTest, WhatOneHearsIsForAllWhoWait) {
  Capacity capacity(store_.get(), vmmd_, std::chrono::hours(1));
  std::vector<std::thread> waiting;
  std::atomic<int> refused = 0;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back([&] { refused += capacity.Check().code() == ENOMEM ? 1 : 0; });
  }
  Answer(Asked(), Pool(1));
  for (std::thread& thread : waiting) thread.join();  // nobody has asked once more
  EXPECT_EQ(refused, 0);
}

}  // namespace
}  // namespace usetl::cri
