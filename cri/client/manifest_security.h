// manifest_security.h: securityContext of pods and containers, as the kubelet hands it on.
#ifndef USETL_CRI_CLIENT_MANIFEST_SECURITY_H_
#define USETL_CRI_CLIENT_MANIFEST_SECURITY_H_

#include "cri/client/manifest.h"
#include "cri/client/manifest_fields.h"

namespace usetl::cri {

// What containers have from their pod unless they say something else.
struct PodSecurity {
  v1::LinuxContainerSecurityContext context;
  bool non_root = false;
  int64_t fs_group = -1;  // also among the supplementary groups; -1: none
};

PodSecurity ParsePodSecurity(Fields* spec, v1::PodSandboxConfig* sandbox);

// Of `fields`, a container of this pod. What a function cannot have is passed on: usetld refuses
// it.
void ParseContainerSecurity(Fields* fields, const PodSecurity& pod, v1::PodSandboxConfig* sandbox,
                            PodManifest::Container* container);

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_MANIFEST_SECURITY_H_
