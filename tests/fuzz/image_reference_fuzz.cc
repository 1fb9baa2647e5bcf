// Names of images and challenges of registries: what is accepted is bounded, canonical, and
// harmless in URLs and file names.
#include <algorithm>
#include <cctype>
#include <cstring>

#include "cri/image/challenge.h"
#include "cri/image/digest.h"
#include "cri/image/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usetl::image;  // NOLINT
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  size_t parameters = 0;
  for (const Challenge& challenge : ParseChallenges(text)) {
    for (const auto& [name, value] : challenge.parameters) parameters += name.size() + value.size();
  }
  if (parameters > size) __builtin_trap();

  const auto reference = Reference::Parse(text);
  if (!reference.ok()) return 0;
  const std::string full = reference->Text();
  if (reference->digest.empty() == reference->tag.empty() || full.size() > 512) __builtin_trap();
  if (!reference->digest.empty() && !IsDigest(reference->digest)) __builtin_trap();
  if (full.find("..") != std::string::npos && reference->tag.find("..") == std::string::npos) {
    __builtin_trap();
  }
  if (std::any_of(full.begin(), full.end(), [](char c) {
        return !isalnum(static_cast<unsigned char>(c)) && !strchr("-._/:@[]", c);
      })) {
    __builtin_trap();
  }
  const auto again = Reference::Parse(full);
  if (!again.ok() || again->Text() != full) __builtin_trap();
  if (IsLoopback(reference->domain) && reference->Host() != reference->domain) __builtin_trap();
  return 0;
}
