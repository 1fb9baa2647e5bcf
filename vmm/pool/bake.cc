// bake.cc: an image becomes packs, and those a runtime.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "vmm/pack/pack_reader.h"
#include "vmm/pack/pack_writer.h"
#include "vmm/pool/bake_boot.h"
#include "vmm/pool/bake_directory.h"
#include "vmm/pool/interpreter.h"
#include "vmm/pool/kernel_file.h"
#include "vmm/pool/runtime.h"

namespace usetl {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// What a runtime image has no use for.
const std::vector<std::string> kExcluded = {"proc",        "sys",           "dev",
                                            "run",         "tmp",           "var/cache",
                                            "var/lib/apt", "usr/share/doc", "usr/share/man"};

constexpr char kPython[] = "usr/bin/python3.11";

// Without it nothing comes of the boot. A link on the way is left to the guest.
Status CheckPython(const pack::PackTree& tree, const std::string& source) {
  uint32_t node = pack::PackTree::kRoot;
  for (const std::filesystem::path& part : std::filesystem::path(kPython)) {
    if (!tree.IsDirectory(node)) return Status();
    node = tree.Child(node, part.string());
    if (node == pack::PackTree::kNone) {
      return Status(ENOENT, source + " has no " + kPython +
                                "; give the root file system of a Debian 12 with python3.11");
    }
  }
  return Status();
}

Status WriteRootPack(const BakeOptions& options, const std::string& path, BakeReport* report) {
  pack::PackTree tree;
  const pack::SourceOptions source{kExcluded};
  struct stat info;
  if (stat(options.source.c_str(), &info) != 0) return Status::Errno(options.source);
  if (S_ISDIR(info.st_mode)) {
    USETL_RETURN_IF_ERROR(pack::AddDirectory(options.source, source, &tree));
  } else {
    const Fd archive(open(options.source.c_str(), O_RDONLY | O_CLOEXEC));
    if (!archive.ok()) return Status::Errno("open " + options.source);
    USETL_RETURN_IF_ERROR(
        pack::AddArchive(archive.get(), std::filesystem::path(path).parent_path(), source, &tree));
  }
  USETL_RETURN_IF_ERROR(CheckPython(tree, options.source));
  Result<pack::PackSummary> summary = pack::WritePack(tree, path, {});
  if (!summary.ok()) return summary.status();
  report->pack_bytes += summary->size;
  report->sites_rewritten += summary->sites.rewritten;
  return Status();
}

Status WriteAgentPack(const BakeOptions& options, const std::string& path, BakeReport* report) {
  pack::PackTree tree;
  USETL_RETURN_IF_ERROR(pack::AddDirectory(options.agent, {}, &tree));
  Result<pack::PackSummary> summary = pack::WritePack(tree, path, {});
  if (!summary.ok()) return summary.status();
  report->pack_bytes += summary->size;
  return Status();
}

// The variables of an image that count when a program starts, and not once it runs. Others are set
// when a function is loaded.
Status AddImageVariables(const std::vector<std::string>& image, std::vector<std::string>* to) {
  constexpr std::string_view kTaken[] = {"PATH=", "LD_LIBRARY_PATH=", "PYTHONHOME="};
  for (const std::string& variable : image) {
    const bool taken = std::ranges::any_of(
        kTaken, [&](std::string_view name) { return variable.starts_with(name); });
    if (!taken) continue;
    constexpr size_t kMost = 16 << 10;
    if (variable.size() > kMost) return Status(EINVAL, "its environment is too large");
    to->push_back(variable);
  }
  return Status();
}

// Takes the layers of an image over as they are: a link each, so that they stay when the image
// goes, and are still once on the disk and once in memory.
Result<Interpreter> UseLayers(const BakeOptions& options,
                              const std::function<std::string()>& next_pack, BakeReport* report) {
  constexpr size_t kMost = abi::kMaxPacks - 1;  // the last is the agent's
  if (options.layers.size() > kMost) {
    return Status(EINVAL, "it has " + std::to_string(options.layers.size()) +
                              " layers, a runtime has at most " + std::to_string(kMost));
  }
  Result<pack::PackLayers> layers = pack::PackLayers::Open(options.layers);
  if (!layers.ok()) return layers.status();
  std::string_view search;
  for (const std::string& variable : options.environment) {
    if (variable.starts_with("PATH=")) search = std::string_view(variable).substr(5);
  }
  Result<Interpreter> interpreter = FindInterpreter(*layers, search);
  if (!interpreter.ok()) return interpreter.status();
  for (size_t i = 0; i < options.layers.size(); ++i) {
    const std::string path = next_pack();
    if (link(options.layers[i].c_str(), path.c_str()) != 0) {
      return Status::Errno("link " + options.layers[i] + " to " + path);
    }
    report->pack_bytes += layers->packs()[i].bytes().size();
    report->sites_rewritten += layers->packs()[i].header().rewritten_sites;
  }
  return interpreter;
}

}  // namespace

Result<BakeReport> Bake(const BakeOptions& options) {
  BakeReport report;
  const auto tell = [&](const std::string& step) {
    if (options.progress) options.progress(step);
  };
  Result<BakeDirectory> directory = BakeDirectory::Create(options.directory, options.name);
  if (!directory.ok()) return directory.status();
  const std::filesystem::path& work = directory->path();

  auto begin = Clock::now();
  tell("packing " + (options.layers.empty() ? options.source : "the agent"));
  std::vector<std::string> packs;
  const auto next_pack = [&] {
    return packs.emplace_back(work / ("layer-" + std::to_string(packs.size()) + ".pack"));
  };
  std::string program = std::string("/") + kPython;
  std::vector<std::string> environment = {"HOME=/root",
                                          "LANG=C.UTF-8",
                                          "LC_CTYPE=C.UTF-8",
                                          "PYTHONPATH=/usr/lib/usetl",
                                          "PYTHONDONTWRITEBYTECODE=1",
                                          "USETL_GUEST=1",
                                          "LD_BIND_NOW=1",
                                          "OPENBLAS_NUM_THREADS=1"};
  if (options.layers.empty()) {
    environment.push_back("PATH=/usr/local/bin:/usr/bin:/bin");
    USETL_RETURN_IF_ERROR(WriteRootPack(options, next_pack(), &report));
  } else {
    Result<Interpreter> interpreter = UseLayers(options, next_pack, &report);
    if (!interpreter.ok()) return interpreter.status();
    program = interpreter->program;
    USETL_RETURN_IF_ERROR(AddImageVariables(options.environment, &environment));
  }
  USETL_RETURN_IF_ERROR(WriteAgentPack(options, next_pack(), &report));
  report.pack_ms = MillisecondsSince(begin);

  tell("booting the runtime");
  begin = Clock::now();
  Result<KernelFile> kernel = ReadKernel(options.kernel);
  if (!kernel.ok()) return kernel.status();
  BootOrder order{.kernel = *kernel,
                  .packs = {},
                  .digests = {},
                  .arguments = {program, "-X", "frozen_modules=on", "-m", "usetl.agent"},
                  .environment = environment,
                  .trace = options.trace};
  std::vector<pack::Pack> opened;
  for (const std::string& path : packs) {
    Result<pack::Pack> pack = pack::OpenPack(path, false);
    if (!pack.ok()) return pack.status().Annotate(path);
    Digest digest;
    std::memcpy(digest.data(), pack->header().digest, digest.size());
    order.digests.push_back(digest);
    order.packs.push_back({pack->fd(), pack->bytes().size()});
    opened.push_back(std::move(*pack));
  }
  Result<Booted> booted = BootToSnapshot(order);
  if (!booted.ok()) return booted.status();
  report.boot_ms = MillisecondsSince(begin);
  report.exits = booted->exits;

  tell("writing the snapshot");
  begin = Clock::now();
  USETL_RETURN_IF_ERROR(booted->snapshot.Store(work / "snapshot"));
  report.snapshot_bytes = booted->snapshot.index().size;
  USETL_RETURN_IF_ERROR(directory->Finish());
  report.store_ms = MillisecondsSince(begin);
  return report;
}

}  // namespace usetl
