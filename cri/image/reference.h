// reference.h: names of images as people write them: "busybox",
// "localhost:5000/a/b:tag@sha256:...".
#ifndef USETL_CRI_IMAGE_REFERENCE_H_
#define USETL_CRI_IMAGE_REFERENCE_H_

#include <string>
#include <string_view>

#include "vmm/base/status.h"

namespace usetl::image {

// A name in full. Short ones are completed as docker does it: "busybox" is
// "docker.io/library/busybox:latest". Every part has been checked: it can go into URLs and files.
struct Reference {
  std::string domain;  // "docker.io", "localhost:5000", "[::1]:5000"
  std::string path;    // "library/busybox"
  std::string tag;     // empty when there is a digest: a digest says it all
  std::string digest;  // "sha256:...", or empty

  // EINVAL with what is wrong. A text of 64 hex digits, with "sha256:" or without, is
  // an id and no name.
  static Result<Reference> Parse(std::string_view text);

  std::string Name() const { return domain + "/" + path; }
  std::string Text() const { return Name() + (digest.empty() ? ":" + tag : "@" + digest); }
  // What a registry is asked for.
  const std::string& TagOrDigest() const { return digest.empty() ? tag : digest; }
  // Where the registry of `domain` listens: host, and port unless it is the usual one.
  std::string Host() const;
};

// "localhost", 127.0.0.0/8 or [::1], with or without a port: what never leaves the machine.
bool IsLoopback(std::string_view host);

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_REFERENCE_H_
