#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>

#include "tests/etl/network.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  signal(SIGPIPE, SIG_IGN);  // TLS servers of the tests write to peers that left
  // Before any thread: a namespace belongs to the thread that made it.
  if (!usetl::test::EnterOwnNetwork()) {
    std::fprintf(stderr, "etl_test: needs a network namespace of its own; run it as root\n");
    return 77;
  }
  return RUN_ALL_TESTS();
}
