// network.h: a network namespace for one test binary, with nothing but lo in it.
#ifndef USETL_TESTS_ETL_NETWORK_H_
#define USETL_TESTS_ETL_NETWORK_H_

namespace usetl::test {

// Moves this process into a new network namespace and brings lo up. REQUIRES: no other thread yet.
// False: not permitted here.
bool EnterOwnNetwork();

}  // namespace usetl::test

#endif  // USETL_TESTS_ETL_NETWORK_H_
