#include "cri/image/digest.h"

#include <algorithm>

namespace usetl::image {

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsDigest(std::string_view text) {
  return text.size() == 71 && text.starts_with("sha256:") && IsHex(text.substr(7));
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  ok_ = context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
}

void Sha256::Update(const void* bytes, size_t size) {
  ok_ = ok_ && EVP_DigestUpdate(context_.get(), bytes, size) == 1;
}

std::string Sha256::Finish() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (!ok_ || EVP_DigestFinal_ex(context_.get(), raw, &size) != 1) return {};
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "sha256:";
  for (unsigned i = 0; i < size; ++i) text.append({kDigits[raw[i] >> 4], kDigits[raw[i] & 15]});
  return text;
}

std::string DigestOf(std::string_view bytes) {
  Sha256 sha;
  sha.Update(bytes.data(), bytes.size());
  return sha.Finish();
}

}  // namespace usetl::image
