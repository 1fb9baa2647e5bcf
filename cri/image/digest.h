// digest.h: SHA-256 digests in the form that images use: "sha256:" and 64 hex digits.
#ifndef USETL_CRI_IMAGE_DIGEST_H_
#define USETL_CRI_IMAGE_DIGEST_H_

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>

namespace usetl::image {

// Lower-case hex only. No other algorithm is accepted: nothing in use has one.
bool IsDigest(std::string_view text);
bool IsHex(std::string_view text);
// REQUIRES: IsDigest(digest). What files are called by.
inline std::string HexOf(std::string_view digest) { return std::string(digest.substr(7)); }

// A digest of bytes that come one after the other.
class Sha256 {
 public:
  Sha256();
  void Update(const void* bytes, size_t size);
  // Empty when libcrypto failed on the way: equal to no digest. To be called once.
  std::string Finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
  bool ok_;
};

std::string DigestOf(std::string_view bytes);

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_DIGEST_H_
