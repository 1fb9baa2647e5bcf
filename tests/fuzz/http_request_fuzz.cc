// A hostile guest's records, as EtlProxy::OnRecord() takes them. No request leaves: the policy
// allows nothing.
#include <cstring>
#include <memory>
#include <vector>

#include "vmm/proxy/etl/etl_proxy.h"

namespace {

using namespace usetl;  // NOLINT

struct World {
  std::vector<uint8_t> host = std::vector<uint8_t>(1 << 20);
  std::vector<uint8_t> guest = std::vector<uint8_t>(64 << 10);
  HostRegion region{host.data(), host.size(), false};
  GuestRegionView view{guest.data(), guest.size()};
  std::unique_ptr<etl::EtlProxy> proxy;

  World() {
    region.Format();
    auto made = etl::EtlProxy::Create({}, &region, &view,
                                      [](abi::RecordType, uint64_t, std::span<const uint8_t>,
                                         std::span<const uint8_t>) { return true; });
    if (!made.ok()) __builtin_trap();
    proxy = std::move(*made);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World* world = new World;
  // Records as in a ring: type and id in one byte each, two bytes of size, payload.
  while (size >= 4) {
    const uint16_t type = data[0] % 12 + 16;
    const uint64_t id = data[1] % 4;
    size_t payload = data[2] | data[3] << 8;
    data += 4;
    size -= 4;
    if (payload > size) payload = size;
    const std::vector<uint8_t> copy(data, data + payload);
    const abi::RecordHeader header{static_cast<uint32_t>(sizeof header + payload), type, 0, id};
    (void)world->proxy->OnRecord(header, copy);
    data += payload;
    size -= payload;
  }
  world->proxy->CancelAll();
  if (world->region.free_bytes() != world->region.size() - world->region.data_base()) {
    __builtin_trap();  // a refused request kept a piece of the region
  }
  return 0;
}
