// A client's request: whatever is accepted makes records that are JSON.
#include "vmm/base/json_text.h"
#include "vmm/proxy/worker/run_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usetl;  // NOLINT
  const auto request = ParseRunRequest({reinterpret_cast<const char*>(data), size});
  if (!request.ok()) return 0;
  if (request->file.empty() || request->file.find('/') != std::string::npos) __builtin_trap();
  for (const std::string& record :
       {LoadRecord(*request, "/function/" + request->file, "/in"), LoadRecord(*request, "/f", ""),
        InvokeRecord(*request, "/event", {"id", 1.5, 2}), request->event}) {
    if (!CheckJson(record, "record").ok()) __builtin_trap();
  }
  return 0;
}
