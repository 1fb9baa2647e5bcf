// runtime.h: a baked runtime on disk: packs, snapshot, and what it was made from.
//
//   DIR/NAME/layer-0.pack, layer-1.pack, ...   lowest layer first
//   DIR/NAME/snapshot                          READY snapshot
//   DIR/NAME/runtime.json                      name, digests, figures of the bake
#ifndef USETL_VMM_POOL_RUNTIME_H_
#define USETL_VMM_POOL_RUNTIME_H_

#include <functional>
#include <string>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/snapshot/snapshot.h"

namespace usetl {

struct PackFile {
  Fd fd;
  uint64_t size;
  Digest digest;
};

struct BakeOptions {
  std::string source;                    // rootfs directory, or a tar archive of one
  std::vector<std::string> layers;       // or packs of an image, lowest first, with its own Python
  std::vector<std::string> environment;  // of the image: "NAME=value"
  std::string directory;                 // where runtimes live
  std::string name;
  std::string kernel;  // path of usetl-kernel.elf
  std::string agent;   // directory that becomes /usr/lib/usetl
  uint32_t trace = 0;
  // Told what happens: a step, and how long the one before took.
  std::function<void(const std::string& step)> progress;
};

struct BakeReport {
  double pack_ms = 0;   // image to packs
  double boot_ms = 0;   // first instruction to READY
  double store_ms = 0;  // snapshot to disk
  uint64_t pack_bytes = 0;
  uint64_t snapshot_bytes = 0;
  uint64_t sites_rewritten = 0;
  uint64_t exits = 0;
};

// Makes a runtime; an existing one of that name is replaced in one step.
Result<BakeReport> Bake(const BakeOptions& options);

// A runtime that is ready to make USFs.
struct Runtime {
  std::string name;
  std::vector<PackFile> packs;
  Snapshot snapshot;
};

// Opens and checks one. The Status says what is wrong and what to do.
Result<Runtime> OpenRuntime(const std::string& directory, const std::string& name,
                            const std::string& kernel);

}  // namespace usetl

#endif  // USETL_VMM_POOL_RUNTIME_H_
