// pod_invoker_fixture.h: an invoker whose USF is played by the test.
#ifndef USETL_TESTS_UNIT_POD_INVOKER_FIXTURE_H_
#define USETL_TESTS_UNIT_POD_INVOKER_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/proxy/pod/invoker.h"

namespace usetl::pod {

class InvokerCase : public testing::Test {
 protected:
  struct Posted {
    abi::RecordType type;
    uint64_t id;
    std::string payload;
  };
  static constexpr uint64_t kSize = 1 << 20;
  static constexpr size_t kPlenty = 1000;

  InvokerCase()
      : memory_(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                kSize),
        region_(memory_.data(), kSize, false),
        guest_(nullptr, 0) {
    region_.Format();
  }
  Invoker Make(Invoker::Options options = {}) {
    options.quick = quick_;
    const auto post = [this](abi::RecordType type, uint64_t id, std::string_view payload) {
      if (room_ == 0) return false;
      --room_;
      posted_.push_back({type, id, std::string(payload)});
      return true;
    };
    return Invoker(options, {&region_, &guest_, post,
                             [this](std::string_view report) { log_.append(report); }});
  }
  // A record of the guest.
  static Status Send(Invoker* invoker, abi::RecordType type, uint64_t id, std::string_view bytes) {
    return invoker->OnRecord(type, id,
                             {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  }

  Mapping memory_;
  HostRegion region_;
  GuestRegionView guest_;
  size_t room_ = kPlenty;  // of the ring, in records
  std::chrono::hours quick_{1};
  std::vector<Posted> posted_;
  std::string log_;
};

}  // namespace usetl::pod

#endif  // USETL_TESTS_UNIT_POD_INVOKER_FIXTURE_H_
