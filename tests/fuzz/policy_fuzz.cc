// URLs and redirect targets: whatever is accepted must be canonical and denied by default.
#include <arpa/inet.h>

#include <string>

#include "vmm/proxy/etl/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usetl::etl;  // NOLINT
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto check = [](const usetl::Result<Url>& url) {
    if (!url.ok()) return;
    const Origin& origin = url->origin();
    if (origin.host.empty() || origin.port == 0 || Policy().CheckOrigin(origin).ok()) {
      __builtin_trap();
    }
    // Parsed again, the canonical form is the same.
    const auto again = Url::Parse(origin.Text());
    if (!again.ok() || again->origin() != origin) __builtin_trap();
    // An IPv4 address in any spelling but the plain one never gets here.
    in_addr lenient, strict;
    if (inet_aton(origin.host.c_str(), &lenient) != 0 &&
        inet_pton(AF_INET, origin.host.c_str(), &strict) != 1) {
      __builtin_trap();
    }
  };
  check(Url::Parse(text));
  static const auto base = Url::Parse("https://example.com/a/b");
  check(base->Resolve(text));
  Policy policy;
  (void)policy.Allow(text);
  return 0;
}
