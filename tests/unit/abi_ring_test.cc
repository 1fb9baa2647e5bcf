#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "vmm/abi/control.h"
#include "vmm/abi/mail.h"
#include "vmm/abi/pack.h"
#include "vmm/abi/ring.h"

namespace usetl::abi {
namespace {

constexpr uint32_t kCapacity = 64 << 10;

struct RingTest : testing::Test {
  RingLine producer_line{};
  RingLine consumer_line{};
  std::vector<uint8_t> data = std::vector<uint8_t>(kCapacity);
  RingProducer producer{&producer_line, &consumer_line, data.data(), kCapacity};
  RingConsumer consumer{&consumer_line, &producer_line, data.data(), kCapacity};
  RecordHeader header{};
  std::vector<uint8_t> payload = std::vector<uint8_t>(kMaxRecord);
};

TEST_F(RingTest, RecordsOfAllSizesSurviveManyTurns) {
  uint64_t taken = 0;
  for (uint64_t i = 0; i < 20000; ++i) {
    const std::string body((i * 37) % 5000, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(producer.Put(3, i, "head", 4, body.data(), body.size()));
    ASSERT_EQ(consumer.Take(&header, payload.data()), RingRead::kRecord);
    ASSERT_EQ(header.id, taken++);
    ASSERT_EQ(header.size, sizeof header + 4 + body.size());
    ASSERT_EQ(std::string(payload.begin() + 4, payload.begin() + 4 + body.size()), body);
  }
  EXPECT_EQ(consumer.Take(&header, payload.data()), RingRead::kEmpty);
}

TEST_F(RingTest, FullRingRefusesAndLargestRecordFits) {
  const std::string body(kMaxRecord - sizeof(RecordHeader), 'x');
  EXPECT_TRUE(producer.Put(1, 1, body.data(), body.size()));
  EXPECT_TRUE(producer.Put(1, 2, body.data(), body.size()));
  EXPECT_FALSE(producer.Put(1, 3, body.data(), body.size()));
  EXPECT_FALSE(producer.Put(1, 3, body.data(), body.size() + 1));
  EXPECT_FALSE(producer.Put(1, 3, body.data(), ~0u, body.data(), ~0u));
}

TEST_F(RingTest, ConsumerRefusesHostileIndicesAndSizes) {
  producer_line.index = uint64_t{kCapacity} + 8;
  EXPECT_EQ(consumer.Take(&header, payload.data()), RingRead::kBroken);
  EXPECT_EQ(consumer.TakeBytes(payload.data(), 8), -1);
  producer_line.index = 24;
  const uint32_t sizes[] = {0, 15, 32, kMaxRecord + 1, ~0u};
  for (uint32_t size : sizes) {
    const RecordHeader bad{size, 1, 0, 0};
    std::memcpy(data.data(), &bad, sizeof bad);
    EXPECT_EQ(consumer.Take(&header, payload.data()), RingRead::kBroken) << size;
  }
}

TEST_F(RingTest, ProducerSeesNoRoomBehindHostileConsumer) {
  consumer_line.index = 8;  // consumed more than was produced
  EXPECT_EQ(producer.Free(), 0u);
  EXPECT_FALSE(producer.Put(1, 1, "x", 1));
}

TEST_F(RingTest, BytesWrapAround) {
  std::string in(kCapacity - 10, 'a');
  EXPECT_EQ(producer.PutBytes(in.data(), in.size()), in.size());
  EXPECT_EQ(consumer.TakeBytes(in.data(), in.size()), static_cast<int64_t>(in.size()));
  EXPECT_EQ(producer.PutBytes("0123456789abcdef", 16), 16u);
  char out[17] = {};
  EXPECT_EQ(consumer.TakeBytes(out, 16), 16);
  EXPECT_STREQ(out, "0123456789abcdef");
}

TEST_F(RingTest, WaitingConsumerIsSeenByTheProducer) {
  EXPECT_TRUE(consumer.PrepareWait());
  EXPECT_TRUE(producer.BellDue());
  consumer.EndWait();
  ASSERT_TRUE(producer.Put(1, 1, "x", 1));
  EXPECT_FALSE(consumer.PrepareWait());
  EXPECT_FALSE(producer.BellDue());
}

TEST_F(RingTest, OneBellUntilTheConsumerMoves) {
  EXPECT_TRUE(consumer.PrepareWait());
  ASSERT_TRUE(producer.Put(1, 1, "x", 1));
  EXPECT_TRUE(producer.BellDue());
  ASSERT_TRUE(producer.Put(1, 2, "y", 1));
  EXPECT_FALSE(producer.BellDue()) << "it was rung and has not looked yet";
  consumer.EndWait();
  ASSERT_EQ(consumer.Take(&header, payload.data()), RingRead::kRecord);
  ASSERT_EQ(consumer.Take(&header, payload.data()), RingRead::kRecord);
  EXPECT_TRUE(consumer.PrepareWait());
  ASSERT_TRUE(producer.Put(1, 3, "z", 1));
  EXPECT_TRUE(producer.BellDue());
}

// Both ends at once, each asleep now and then: nothing is lost, doubled or seen half written.
TEST_F(RingTest, CarriesRecordsBetweenThreads) {
  constexpr uint64_t kRecords = 10'000;
  constexpr uint32_t kLongest = 3000;
  std::atomic<uint64_t> bells = 0;
  std::thread sender([&] {
    std::string body;
    for (uint64_t id = 0; id < kRecords; ++id) {
      body.assign(id * 37 % kLongest, static_cast<char>('a' + id % 26));
      while (!producer.Put(1, id, body.data(), static_cast<uint32_t>(body.size()))) {
        std::this_thread::yield();
      }
      if (producer.BellDue()) ++bells;
    }
  });
  uint64_t heard = 0;
  for (uint64_t id = 0; id < kRecords;) {
    const RingRead read = consumer.Take(&header, payload.data());
    if (read == RingRead::kEmpty) {
      // Sleeping without a bell would be for ever: whoever waits is rung.
      if (consumer.PrepareWait()) {
        while (bells == heard) std::this_thread::yield();
        consumer.EndWait();
      }
      heard = bells;
      continue;
    }
    ASSERT_EQ(read, RingRead::kRecord);
    ASSERT_EQ(header.id, id);
    const uint32_t size = header.size - sizeof header;
    ASSERT_EQ(size, id * 37 % kLongest);
    if (size != 0) {
      ASSERT_EQ(payload[0], 'a' + id % 26);
      ASSERT_EQ(payload[size - 1], 'a' + id % 26);
    }
    ++id;
  }
  sender.join();
  EXPECT_TRUE(consumer.Empty());
}

TEST_F(RingTest, CarriesBytesBetweenThreads) {
  constexpr size_t kBytes = 1 << 20;
  std::thread sender([&] {
    uint8_t piece[1000];
    for (size_t sent = 0; sent < kBytes;) {
      const auto size = static_cast<uint32_t>(std::min(sizeof piece, kBytes - sent));
      for (uint32_t i = 0; i < size; ++i) piece[i] = static_cast<uint8_t>((sent + i) * 7);
      const uint32_t taken = producer.PutBytes(piece, size);
      sent += taken;
      if (taken == 0) std::this_thread::yield();
    }
  });
  for (size_t got = 0; got < kBytes;) {
    const int64_t count = consumer.TakeBytes(payload.data(), 777);
    ASSERT_GE(count, 0);
    for (int64_t i = 0; i < count; ++i) {
      ASSERT_EQ(payload[i], static_cast<uint8_t>((got + i) * 7));
    }
    got += static_cast<size_t>(count);
    if (count == 0) std::this_thread::yield();
  }
  sender.join();
}

}  // namespace
}  // namespace usetl::abi
