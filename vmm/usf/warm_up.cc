#include "vmm/usf/warm_up.h"

#include <cstring>
#include <string_view>

#include "vmm/abi/mail.h"

namespace usetl {
namespace {

constexpr std::string_view kLoad =
    R"({"path":"/usr/lib/usetl/warm_up.py","handler":"handler","mode":"handler"})";
// The first run touches also what many functions use but not all: those pages are there then, but
// tracked. In the hot set they would be mended for everybody.
constexpr std::string_view kInvokeFirst =
    R"({"event":{"numbers":[1,2,3],"text":"warm","more":true},"context":{}})";
constexpr std::string_view kInvoke =
    R"({"event":{"numbers":[1,2,3],"text":"warm","more":false},"context":{}})";
// Before all others, once: what only functions behind HTTP touch is there then, and tracked.
constexpr std::string_view kLoadHttp =
    R"({"path":"/usr/lib/usetl/warm_up_http.py","handler":"handler","mode":"http"})";
constexpr std::string_view kInvokeHttp =
    R"({"http":{"method":"POST","path":"/","query":"","headers":[["content-type",)"
    R"("application/json"],["host","warm"]],"scheme":"http","http_version":"1.1","client":)"
    R"(["127.0.0.1",1],"server":["127.0.0.1",80],"body":"{\"numbers\":[1,2,3]}"},"context":{}})";

}  // namespace

Status RunUntilIdle(Vm* vm) {
  abi::HostPage& host = vm->memory().host_page();
  abi::GuestPage& guest = vm->memory().guest_page();
  for (;;) {
    Result<VmOutcome> outcome = vm->RunUntilEvent();
    if (!outcome.ok()) return outcome.status();
    switch (outcome->event) {
      case VmEvent::kIdle:
        return Status();
      case VmEvent::kInterrupted:
        // Nobody reads the output here: what a warm-up says is of no interest.
        host.output.index = guest.output.index;
        continue;
      default:
        return Status(ECHILD, "the guest ended while it was prepared: " + outcome->report);
    }
  }
}

namespace {

Status RunOnce(Vm* vm, Rollback* rollback, std::string_view load, std::string_view invoke) {
  abi::RingProducer to_guest(&vm->memory().host_page().to_guest,
                             &vm->memory().guest_page().to_guest,
                             vm->memory().control() + abi::kToGuestOffset, abi::kToGuestSize);
  const auto put = [&](abi::RecordType type, std::string_view json) -> Status {
    if (!to_guest.Put(static_cast<uint16_t>(type), 1, json.data(), json.size())) {
      return Status(ENOBUFS, "the ring to the guest is full during warm-up");
    }
    return RunUntilIdle(vm);
  };
  USETL_RETURN_IF_ERROR(RunUntilIdle(vm));
  USETL_RETURN_IF_ERROR(put(abi::RecordType::kLoad, load));
  USETL_RETURN_IF_ERROR(put(abi::RecordType::kInvoke, invoke));
  return rollback->Run().status();
}

}  // namespace

Status WarmUp(Vm* vm, Rollback* rollback, uint32_t times) {
  if (times > 0) USETL_RETURN_IF_ERROR(RunOnce(vm, rollback, kLoadHttp, kInvokeHttp));
  for (uint32_t run = 0; run < times; ++run) {
    USETL_RETURN_IF_ERROR(RunOnce(vm, rollback, kLoad, run == 0 ? kInvokeFirst : kInvoke));
  }
  return RunUntilIdle(vm);
}

}  // namespace usetl
