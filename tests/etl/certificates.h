// certificates.h: certificates made at run time.
#ifndef USETL_TESTS_ETL_CERTIFICATES_H_
#define USETL_TESTS_ETL_CERTIFICATES_H_

#include <openssl/x509.h>

#include <string>

#include "tests/etl/server.h"

namespace usetl::test {

// A certificate authority that writes its PEM files into `directory`.
class CertificateAuthority {
 public:
  explicit CertificateAuthority(std::string directory);
  ~CertificateAuthority();

  // The authority's own certificate.
  const std::string& path() const { return path_; }
  // A certificate for subjectAltName `name` ("IP:127.0.0.1", "DNS:example.com") that is valid
  // from now on for `days` (negative: until that many days ago). `signed_by_itself`: not by us.
  ServerTls Issue(const std::string& name, int days, bool signed_by_itself = false);

 private:
  std::string directory_;
  std::string path_;
  EVP_PKEY* key_;
  X509* certificate_;
  int serial_ = 1;
};

}  // namespace usetl::test

#endif  // USETL_TESTS_ETL_CERTIFICATES_H_
