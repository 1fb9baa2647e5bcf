// network_places.h: where the network of pods is set up, as CNI has it, unless told otherwise.
#ifndef USETL_VMM_BASE_NETWORK_PLACES_H_
#define USETL_VMM_BASE_NETWORK_PLACES_H_

namespace usetl {

// The directory of configurations, and those of plugins.
inline constexpr char kNetworkConfigs[] = "/etc/cni/net.d";
inline constexpr const char* kNetworkPlugins[] = {"/opt/cni/bin", "/usr/lib/cni"};

}  // namespace usetl

#endif  // USETL_VMM_BASE_NETWORK_PLACES_H_
