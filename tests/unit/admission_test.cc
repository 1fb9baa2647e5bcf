// What is accepted without effect; what is refused is tested over the socket.
#include "cri/server/admission.h"

#include <gtest/gtest.h>

namespace usetl::cri {
namespace {

TEST(IgnoredResources, WhatKubeletAlwaysGives) {
  v1::LinuxContainerResources resources;
  EXPECT_EQ(IgnoredResources(resources), "");
  resources.add_hugepage_limits()->set_page_size("2MB");
  (*resources.mutable_unified())["memory.oom.group"] = "1";
  resources.set_memory_limit_in_bytes(64 << 20);
  resources.set_memory_swap_limit_in_bytes(64 << 20);
  EXPECT_EQ(IgnoredResources(resources), "");
}

TEST(IgnoredResources, Named) {
  v1::LinuxContainerResources resources;
  resources.set_memory_swap_limit_in_bytes(-1);
  EXPECT_EQ(IgnoredResources(resources), "memory_swap_limit_in_bytes");
  resources.add_hugepage_limits()->set_limit(2 << 20);
  (*resources.mutable_unified())["memory.high"] = "1";
  EXPECT_EQ(IgnoredResources(resources), "hugepage_limits, unified, memory_swap_limit_in_bytes");
}

TEST(AdmitContainer, TakesNoAnnotationsOfPods) {
  for (const char* key :
       {"usetl.dev/allow", "usetl.dev/handler", "usetl.dev/runtime", "usetl.dev/timeout"}) {
    v1::ContainerConfig config;
    config.mutable_metadata()->set_name("function");
    config.mutable_image()->set_image("localhost/function:1");
    EXPECT_FALSE(AdmitContainer(config).has_value());
    (*config.mutable_annotations())[key] = "";
    const auto refused = AdmitContainer(config);
    ASSERT_TRUE(refused.has_value()) << key;
    EXPECT_EQ(refused->text,
              std::string("usetl: the annotation ") + key +
                  " is one of pods, of a container it means nothing; give it to the pod");
  }
}

}  // namespace
}  // namespace usetl::cri
