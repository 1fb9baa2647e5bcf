// address_ranges.h: addresses that functions do not reach unless somebody opened them.
#ifndef USETL_VMM_PROXY_ETL_ADDRESS_RANGES_H_
#define USETL_VMM_PROXY_ETL_ADDRESS_RANGES_H_

#include <sys/socket.h>

#include <string>

namespace usetl::etl {

// Loopback, link-local, private, shared, documentation, benchmarking, multicast, reserved; every
// IPv6 address that embeds an IPv4 one; every family but IPv4 and IPv6.
bool IsInternalAddress(const sockaddr* address);
// Public, private, shared or loopback, and no IPv6 address that embeds an IPv4 one: what programs
// are reached at, other than link-local.
bool IsUnicastAddress(const sockaddr* address);
// A metadata service of some cloud, embedded in an IPv6 address or not.
bool IsMetadataAddress(const sockaddr* address);
// An address of an interface of this machine. True when that cannot be told.
bool IsNodeAddress(const sockaddr* address);

// "192.0.2.1", "2001:db8::1", "?".
std::string AddressText(const sockaddr* address);

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_ADDRESS_RANGES_H_
