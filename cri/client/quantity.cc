// Kubernetes' quantities (apimachinery, resource.Quantity).
#include <charconv>
#include <cmath>

#include "cri/client/manifest.h"

namespace usetl::cri {

Result<int64_t> ParseQuantity(std::string_view text) {
  constexpr struct {
    std::string_view suffix;
    double factor;
  } kSuffixes[] = {
      {"", 1},     {"m", 1e-3},  {"k", 1e3},      {"M", 1e6},      {"G", 1e9},
      {"T", 1e12}, {"Ki", 1024}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1024.0 * (1 << 30)}};
  const Status bad(EINVAL, "\"" + std::string(text) + "\" is no quantity such as 64Mi or 500m");
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !(number >= 0)) return bad;
  const std::string_view suffix = text.substr(end - text.data());
  for (const auto& known : kSuffixes) {
    if (known.suffix != suffix) continue;
    const double value = std::ceil(number * known.factor * 1000);
    constexpr double kMost = 9e18;
    if (!(value < kMost)) return bad;
    return static_cast<int64_t>(value);
  }
  return bad;
}

}  // namespace usetl::cri
