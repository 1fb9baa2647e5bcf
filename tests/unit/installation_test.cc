#include "vmm/base/installation.h"

#include <gtest/gtest.h>

namespace usetl {
namespace {

TEST(Installation, StoreOfANode) {
  EXPECT_EQ(ImageStoreOf(kDefaultNode), "/var/lib/usetl/images");
  EXPECT_EQ(ImageStoreOf("/run/usetl/"), "/var/lib/usetl/images");
  EXPECT_EQ(ImageStoreOf("/srv/node"), "/srv/node/images");
  EXPECT_EQ(ImageStoreOf("node/"), "node/images");
}

}  // namespace
}  // namespace usetl
