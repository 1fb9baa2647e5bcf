#include "tests/etl/harness.h"

#include <poll.h>
#include <sys/mman.h>

#include <chrono>
#include <cstring>

namespace usetl::test {
namespace {

using abi::RecordType;
using Clock = std::chrono::steady_clock;

uint8_t* Map(uint64_t size) {
  return static_cast<uint8_t*>(mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}

}  // namespace

std::string Pattern(size_t size, uint8_t seed) {
  std::string bytes(size, '\0');
  uint32_t state = seed * 2654435761u + 1;
  for (size_t i = 0; i < size; ++i) {
    state = state * 1664525 + 1013904223;
    bytes[i] = static_cast<char>(state >> 24);
  }
  return bytes;
}

EtlTest::EtlTest() {
  guest_memory = Map(kGuestSize);
  guest_ = std::make_unique<GuestRegionView>(guest_memory, kGuestSize);
  options.audit = [this](const etl::AuditEvent& event) { audit.push_back(event); };
}

EtlTest::~EtlTest() {
  proxy_.reset();
  munmap(guest_memory, kGuestSize);
  if (host_memory_ != nullptr) munmap(host_memory_, region_size);
}

void EtlTest::Open() {
  proxy_.reset();
  if (host_memory_ != nullptr) munmap(host_memory_, region_size);
  host_memory_ = Map(region_size);
  region = std::make_unique<HostRegion>(host_memory_, region_size, false);
  region->Format();
  auto made = etl::EtlProxy::Create(
      options, region.get(), guest_.get(),
      [this](RecordType type, uint64_t id, std::span<const uint8_t> head,
             std::span<const uint8_t> tail) { return OnPost(type, id, head, tail); });
  ASSERT_TRUE(made.ok()) << made.status().message();
  proxy_ = std::move(*made);
}

bool EtlTest::OnPost(RecordType type, uint64_t id, std::span<const uint8_t> head,
                     std::span<const uint8_t> tail) {
  if (ring_full) return false;
  EXPECT_LE(sizeof(abi::RecordHeader) + head.size() + tail.size(), abi::kMaxRecord);
  Answer& answer = answers[id];
  EXPECT_FALSE(answer.finished) << "a record after the last one";
  const std::string text(reinterpret_cast<const char*>(tail.data()), tail.size());
  if (type == RecordType::kHttpHead) {
    EXPECT_FALSE(answer.have_head);
    std::memcpy(&answer.head, head.data(), sizeof answer.head);
    answer.have_head = true;
    answer.error = answer.head.error;
    answer.headers = text.substr(0, answer.head.headers_size);
    answer.message = text.substr(answer.head.headers_size);
    if (answer.head.streamed == 0) {
      answer.finished = true;
      ++answer.last_records;
      answer.body.assign(reinterpret_cast<char*>(host_memory_) + answer.head.body_offset,
                         answer.head.entry == abi::kNoEntry ? 0 : answer.head.body_size);
    }
  } else if (type == RecordType::kHttpData) {
    abi::HttpSpan span;
    std::memcpy(&span, head.data(), sizeof span);
    EXPECT_LE(span.offset + span.size, region_size);
    unread_[id].push_back(span);
    answer.unread = true;
  } else if (type == RecordType::kHttpDone) {
    abi::HttpSpan span;
    std::memcpy(&span, head.data(), sizeof span);
    answer.done_bytes += span.size;
  } else if (type == RecordType::kHttpEnd) {
    abi::HttpEnd end;
    std::memcpy(&end, head.data(), sizeof end);
    answer.error = end.error;
    answer.message = text;
    answer.finished = true;
    ++answer.last_records;
    EXPECT_TRUE(unread_[id].empty() || end.error != abi::HttpError::kNone);
  }
  return true;
}

void EtlTest::Post(RecordType type, uint64_t id, const void* payload, size_t size) {
  if (proxy_ == nullptr) Open();
  const abi::RecordHeader header{static_cast<uint32_t>(sizeof header + size),
                                 static_cast<uint16_t>(type), 0, id};
  last_status = proxy_->OnRecord(header, {static_cast<const uint8_t*>(payload), size});
}

uint64_t EtlTest::Send(const Ask& ask) {
  abi::HttpRequest head{};
  head.method_size = static_cast<uint32_t>(ask.method.size());
  head.url_size = static_cast<uint32_t>(ask.url.size());
  head.headers_size = static_cast<uint32_t>(ask.headers.size());
  head.body = ask.kind;
  head.body_size = ask.kind == abi::BodyKind::kStream ? ask.stream_size : ask.body.size();
  head.max_body = ask.max_body;
  head.timeout_ms = ask.timeout_ms;
  head.flags = ask.flags;
  if (ask.kind == abi::BodyKind::kRegion) {
    head.body_offset = next_offset_;
    std::memcpy(guest_memory + next_offset_, ask.body.data(), ask.body.size());
    next_offset_ += (ask.body.size() + 4095) / 4096 * 4096;
  }
  std::string record(reinterpret_cast<char*>(&head), sizeof head);
  record += ask.method + ask.url + ask.headers;
  if (ask.kind == abi::BodyKind::kInline) record += ask.body;
  const uint64_t id = next_id_++;
  Post(RecordType::kHttpRequest, id, record.data(), record.size());
  return id;
}

void EtlTest::SendBody(uint64_t id, const std::string& bytes, uint64_t offset) {
  std::memcpy(guest_memory + offset, bytes.data(), bytes.size());
  const abi::HttpSpan span{offset, bytes.size()};
  Post(RecordType::kHttpBody, id, &span, sizeof span);
}

void EtlTest::Consume(uint64_t id) {
  const std::vector<abi::HttpSpan> spans = std::exchange(unread_[id], {});
  answers[id].unread = false;
  for (const abi::HttpSpan& span : spans) {
    answers[id].body.append(reinterpret_cast<char*>(host_memory_) + span.offset, span.size);
    Post(RecordType::kHttpConsumed, id, &span, sizeof span);
    EXPECT_TRUE(last_status.ok()) << last_status.message();
  }
}

void EtlTest::Run(const std::function<bool()>& until) {
  const auto guard = Clock::now() + std::chrono::seconds(60);
  bool consumed = false;
  while (!until()) {
    ASSERT_LT(Clock::now(), guard) << "nothing happens any more";
    pollfd poll_set{proxy_->poll_fd(), POLLIN, 0};
    if (poll(&poll_set, 1, consumed ? 0 : 100) > 0) proxy_->OnReady();
    consumed = false;
    if (!auto_consume) continue;
    for (auto& [id, answer] : answers) {
      if (!answer.unread) continue;
      Consume(id);  // more may have come meanwhile
      consumed = true;
    }
  }
}

void EtlTest::RunFor(int milliseconds) {
  const auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
  Run([&] { return Clock::now() >= end; });
}

Answer& EtlTest::Wait(uint64_t id) {
  Run([&] { return answers[id].finished; });
  EXPECT_EQ(answers[id].last_records, 1);
  return answers[id];
}

void EtlTest::Release(const Answer& answer) {
  const abi::HostRegionEntry entry{answer.head.entry, 0};
  Post(RecordType::kRelease, 0, &entry, sizeof entry);
}

}  // namespace usetl::test
