// function.h: what a container's command, image and environment mean to a USF.
#ifndef USETL_CRI_CONTAINER_FUNCTION_H_
#define USETL_CRI_CONTAINER_FUNCTION_H_

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cri/image/image_store.h"
#include "records.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

struct Function {
  std::string runtime;  // name of the baked runtime
  std::string tenant;   // who may use the USF after it
  std::string mode;     // "http", "script" or "auto"
  std::string path;     // file, or directory in which the agent looks for one
  std::string target;   // "module:attribute", or empty
  std::string working_directory;
  std::vector<std::string> arguments;  // behind the program
  std::map<std::string, std::string> environment;
  // Origins that it may reach; none given: whatever the pod's network leads to.
  std::optional<std::vector<std::string>> allowed;
  std::vector<uint16_t> ports;           // to serve HTTP on; empty for a script
  std::chrono::milliseconds timeout{0};  // of a request; 0: none
};

// The runtime that the image, or the pod for it, wants by name; empty: none.
std::string NamedRuntime(const image::Image& image);
std::string NamedRuntime(const image::Image& image, const ::runtime::v1::PodSandboxConfig& pod);

// EINVAL, with one line that says what cannot run and why. `runtime`: of images that name none, and
// that no runtime was baked from (ContainerRecord::runtime).
Result<Function> ResolveFunction(const image::Image& image, const SandboxRecord& sandbox,
                                 const ContainerRecord& container, const std::string& runtime);

}  // namespace usetl::cri

#endif  // USETL_CRI_CONTAINER_FUNCTION_H_
