// session_world.h: what a worker's session meets: a client, usetl-vmmd and a guest, all played.
#ifndef USETL_TESTS_UNIT_SESSION_WORLD_H_
#define USETL_TESTS_UNIT_SESSION_WORLD_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/abi/control.h"
#include "vmm/abi/mail.h"
#include "vmm/base/fd.h"
#include "vmm/proxy/worker/run_protocol.h"

namespace usetl::test {

struct ToldMessage {
  run::Header header;
  std::string text;
};

// One session. The guest's memory is filled before Run(), or by a thread meanwhile.
class SessionWorld {
 public:
  SessionWorld();

  // The guest's ends of its rings, and its region.
  void Put(abi::RecordType type, uint64_t id, std::string_view payload);
  void Print(uint16_t stream, std::string_view text);
  abi::RingProducer to_host, output;
  abi::GuestPage& guest_page();
  uint8_t* guest_region() { return guest_region_.data(); }
  static constexpr uint64_t kGuestRegionSize = 2 << 20;
  // Makes `content` the file "/value" of the guest region.
  void PutFile(std::string_view content);

  // Runs the session for this request, whose function is a file of these bytes. `meanwhile` is
  // called in a thread of its own and ends soon after `over` says true.
  using Meanwhile = std::function<void(const std::function<bool()>& over)>;
  std::vector<ToldMessage> Run(std::string_view request, const Meanwhile& meanwhile = {});
  std::string function = "def handler(e, c): pass\n";
  // The client goes as soon as it has asked.
  bool client_leaves = false;
  // Asks, stays and never reads an answer.
  bool client_reads = true;

 private:
  Fd control_fd_, host_region_fd_, guest_region_fd_, host_event_, guest_event_;
  Mapping control_, guest_region_;
};

// The first message of a type; its text is "none" when there is none.
ToldMessage First(const std::vector<ToldMessage>& messages, run::Type type);

}  // namespace usetl::test

#endif  // USETL_TESTS_UNIT_SESSION_WORLD_H_
