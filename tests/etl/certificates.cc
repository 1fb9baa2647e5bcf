#include "tests/etl/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>

namespace usetl::test {
namespace {

X509* Make(EVP_PKEY* key, const std::string& common_name, int serial, int days) {
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -20L * 86400);
  X509_gmtime_adj(X509_getm_notAfter(certificate), days * 86400L);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  return certificate;
}

void Extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void WriteCertificate(const std::string& path, X509* certificate) {
  FILE* file = std::fopen(path.c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
}

}  // namespace

CertificateAuthority::CertificateAuthority(std::string directory)
    : directory_(std::move(directory)), path_(directory_ + "/ca.pem"), key_(EVP_EC_gen("P-256")) {
  certificate_ = Make(key_, "test authority", serial_, 100);
  X509_set_issuer_name(certificate_, X509_get_subject_name(certificate_));
  Extend(certificate_, certificate_, NID_basic_constraints, "critical,CA:TRUE");
  Extend(certificate_, certificate_, NID_key_usage, "critical,keyCertSign");
  X509_sign(certificate_, key_, EVP_sha256());
  WriteCertificate(path_, certificate_);
}

CertificateAuthority::~CertificateAuthority() {
  X509_free(certificate_);
  EVP_PKEY_free(key_);
}

ServerTls CertificateAuthority::Issue(const std::string& name, int days, bool signed_by_itself) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = Make(key, "server", ++serial_, days);
  X509* issuer = signed_by_itself ? certificate : certificate_;
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  Extend(certificate, issuer, NID_subject_alt_name, name);
  X509_sign(certificate, signed_by_itself ? key : key_, EVP_sha256());
  const std::string base = directory_ + "/server" + std::to_string(serial_);
  ServerTls files{base + ".pem", base + ".key"};
  WriteCertificate(files.certificate, certificate);
  FILE* file = std::fopen(files.key.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return files;
}

}  // namespace usetl::test
