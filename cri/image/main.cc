// main.cc: usetl-image, which `usetl image` becomes: the image store by hand.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>

#include "cri/image/complaint.h"
#include "cri/image/image_bake.h"
#include "cri/image/image_store.h"
#include "cri/image/progress_line.h"
#include "vmm/base/command_line.h"
#include "vmm/base/installation.h"
#include "vmm/base/output.h"

namespace usetl::image {
namespace {

volatile sig_atomic_t interrupted = 0;

struct Options {
  std::string node = kDefaultNode;
  std::string directory;  // empty: the node's
  StoreConfig config;
  std::vector<std::string> insecure, mirrors, references;
  std::string source, name;
  BakeOrder bake;
  Auth auth;
  bool password_on_stdin = false, identity_on_stdin = false;
  bool json = false;
};

bool Interrupted() { return interrupted != 0; }

Status ReadSecret(std::string* secret) {
  if (!std::getline(std::cin, *secret) || secret->empty()) {
    return Status(EINVAL, "standard input holds no secret");
  }
  return Status();
}

Status Pull(ImageStore* store, Options* options) {
  if (options->password_on_stdin) USETL_RETURN_IF_ERROR(ReadSecret(&options->auth.password));
  if (options->identity_on_stdin) USETL_RETURN_IF_ERROR(ReadSecret(&options->auth.identity_token));
  for (const std::string& reference : options->references) {
    Result<std::string> id = Status();
    {
      ProgressLine line("asking for " + reference);
      id = store->Pull(
          reference, options->auth, [&](const Progress& p) { line.Draw(p); }, Interrupted);
    }
    if (!id.ok()) return id.status();
    std::printf("%s\n", id->c_str());
  }
  return Status();
}

Status Import(ImageStore* store, const Options& options) {
  Result<std::vector<std::string>> ids = Status();
  {
    ProgressLine line("reading " + options.source);
    ids = store->Import(
        options.source, options.name, [&](const Progress& p) { line.Draw(p); }, Interrupted);
  }
  if (!ids.ok()) return ids.status();
  for (const std::string& id : *ids) std::printf("%s\n", id.c_str());
  return Status();
}

nlohmann::json Describe(const Image& image) {
  return {{"id", image.id},
          {"repoTags", image.repo_tags},
          {"repoDigests", image.repo_digests},
          {"size", image.size},
          {"pinned", image.pinned},
          {"chainId", image.chain_id},
          {"layers", image.layers},
          {"packs", image.packs},
          {"entrypoint", image.config.entrypoint},
          {"cmd", image.config.command},
          {"env", image.config.environment},
          {"workingDir", image.config.working_directory},
          {"user", image.config.user},
          {"labels", image.config.labels},
          {"exposedPorts", image.config.exposed_ports},
          {"stopSignal", image.config.stop_signal}};
}

std::string SizeText(uint64_t bytes) {
  constexpr double kSmall = 0.1e6;
  char text[32];
  if (static_cast<double>(bytes) < kSmall) {
    std::snprintf(text, sizeof text, "%.1f kB", static_cast<double>(bytes) / 1e3);
  } else {
    std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  }
  return text;
}

// Of no store: an empty list.
Status List(ImageStore* store, const Options& options) {
  std::vector<ImagePtr> images;
  if (options.references.empty() && store != nullptr) {
    const auto list = store->List();
    if (!list.ok()) return list.status();
    images = (*list)->images;
    for (const std::string& problem : (*list)->problems) {
      std::fprintf(stderr, "usetl: %s\n", problem.c_str());
    }
  }
  for (const std::string& reference : options.references) {
    const Result<ImagePtr> image = store->Find(reference);
    if (!image.ok()) return image.status();
    images.push_back(*image);
  }
  if (options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const ImagePtr& image : images) list.push_back(Describe(*image));
    std::printf("%s\n", list.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return Status();
  }
  std::printf("%-14s %10s  %s\n", "ID", "SIZE", "NAME");
  for (const ImagePtr& image : images) {
    std::vector<std::string> names = image->repo_tags;
    if (names.empty()) names = image->repo_digests;
    if (names.empty()) names = {"-"};
    for (const std::string& name : names) {
      std::printf("%-14s %10s  %s\n", image->id.substr(7, 12).c_str(),
                  SizeText(image->size).c_str(), name.c_str());
    }
  }
  return Status();
}

Status Remove(ImageStore* store, const Options& options) {
  for (const std::string& reference : options.references) {
    const Result<ImagePtr> image = store->Find(reference);
    if (!image.ok()) return image.status();
    USETL_RETURN_IF_ERROR(store->Remove(reference));
    std::printf("%s\n", (*image)->id.c_str());
  }
  return Status();
}

Status Collect(ImageStore* store) {
  const Result<CollectReport> report = store->CollectGarbage();
  if (!report.ok()) return report.status();
  std::printf("removed %lu files, %.1f MB\n", report->files, report->bytes / 1e6);
  return Status();
}

Status FinishConfig(Options* options) {
  options->config.on_retry = [erase = isatty(STDERR_FILENO) == 1 ? "\r\033[K"
                                                                 : ""](const std::string& line) {
    std::fprintf(stderr, "%susetl: %s\n", erase, line.c_str());
  };
  options->config.insecure.insert(options->insecure.begin(), options->insecure.end());
  for (const std::string& mirror : options->mirrors) {
    USETL_RETURN_IF_ERROR(AddMirror(mirror, &options->config));
  }
  return Status();
}

// Before the verb and behind it.
void AddStoreOptions(CLI::App* app, Options* options) {
  CLI::Option* const node = AddPath(app, "--node", &options->node, "whose store it is");
  node->capture_default_str();
  AddPath(app, "--store", &options->directory,
          "its directory, for a node with --images [" + ImageStoreOf(kDefaultNode) +
              ", with --node NODE/images]")
      ->excludes(node);
}

void AddPullOptions(CLI::App* pull, Options* options) {
  pull->add_option("name", options->references, "as docker writes them: busybox, host:5000/a:tag")
      ->required();
  pull->add_option("--username", options->auth.username, "who pulls");
  pull->add_flag("--password-stdin", options->password_on_stdin,
                 "read the password from standard input");
  pull->add_flag("--identity-token-stdin", options->identity_on_stdin,
                 "read an identity token (OAuth refresh token) from standard input");
  AddList(pull, "--insecure", &options->insecure,
          "host[:port] that is spoken to without TLS (loopback always is)");
  AddList(pull, "--mirror", &options->mirrors, "DOMAIN=URL that is asked before DOMAIN");
  pull->add_option("--ca", options->config.ca_file, "certificates to trust, PEM");
  pull->add_option("--retries", options->config.retries, "of a request without progress")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  pull->add_option("--stall", options->config.stall_seconds,
                   "seconds below 1 kB/s after which a transfer has failed")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
}

int EndOfBake(const Result<int>& ended, const std::string& verb) {
  return ended.ok() ? *ended : Complain(ended.status(), verb);
}

CLI::App* AddBakeVerb(CLI::App* app, Options* options) {
  CLI::App* bake = app->add_subcommand(
      "bake", "Make a runtime of an image with a Python of its own: usetl bake NAME does it.");
  CLI::Option* name = bake->add_option("name", options->bake.image, "name, id, or start of an id");
  bake->add_option("--file", options->bake.file,
                   "in its place: a docker-save or OCI archive, or an OCI layout")
      ->excludes(name);
  bake->add_option("--runtimes", options->bake.runtimes, "directory of baked runtimes")
      ->capture_default_str();
  bake->add_option("--runtime", options->bake.runtime, "its name")->capture_default_str();
  bake->add_option("--trace", options->bake.trace, "as usetl bake has it");
  return bake;
}

int Main(int argc, char** argv) {
  Options options;
  options.bake.runtimes = DefaultRuntimes();
  options.bake.runtime = kDefaultRuntime;
  CLI::App app{
      "The image store of a node. Images come from registries or from files; their layers are\n"
      "packed at once, so that functions start from them. The store is an OCI image layout and "
      "may\n"
      "be used while usetld runs. Examples:\n"
      "  usetl image pull localhost:5000/team/function:1\n"
      "  usetl image import function.tar --name team/function:1\n"
      "  usetl image ls\n"
      "Exit status: 2 wrong arguments, 3 not found, 4 not authorised, 5 unavailable, 6 invalid,\n"
      "7 no space, 1 other."};
  app.require_subcommand(1);
  AddStoreOptions(&app, &options);
  CLI::App* pull = app.add_subcommand("pull", "Pull images from their registries; prints ids.");
  AddPullOptions(pull, &options);
  CLI::App* import = app.add_subcommand(
      "import", "Import docker-save or OCI archives, or a directory with an OCI layout.");
  import->add_option("source", options.source, "file (tar, gz, zst, xz) or directory")->required();
  import->add_option("--name", options.name, "what to call it, instead of the names it carries");
  CLI::App* bake = AddBakeVerb(&app, &options);
  for (CLI::App* sized : {pull, import, bake}) {
    sized
        ->add_option("--max-unpacked", options.config.max_unpacked_bytes,
                     "most that a layer may unpack to, e.g. 4G")
        ->transform(CLI::AsSizeValue(false))
        ->default_str(std::to_string(options.config.max_unpacked_bytes >> 30) + "G");
  }
  CLI::App* list = app.add_subcommand("ls", "List images: all, or those named.");
  list->add_option("name", options.references, "name, id, or the start of an id");
  list->add_flag("--json", options.json, "everything that is known of them");
  CLI::App* remove = app.add_subcommand("rm", "Remove images with all their names.");
  remove->add_option("name", options.references, "name, id, or the start of an id")->required();
  CLI::App* collect = app.add_subcommand("gc", "Remove what no image needs any more.");
  for (CLI::App* verb : {pull, import, bake, list, remove, collect})
    AddStoreOptions(verb, &options);
  if (const auto end = ReadArguments(&app, argc, argv)) return *end;
  if (bake->parsed() && options.bake.image.empty() && options.bake.file.empty()) {
    return RefuseArguments(app, "bake what? Give the name of an image, or --file");
  }

  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = 1; };
  for (int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);

  if (Status status = FinishConfig(&options); !status.ok()) return Complain(status);
  if (!options.bake.file.empty()) {
    return EndOfBake(BakeFromFile(options.config, options.bake, Interrupted), "import");
  }
  const std::string directory =
      options.directory.empty() ? ImageStoreOf(options.node) : options.directory;
  if (!pull->parsed() && !import->parsed() && directory.starts_with('/') &&
      !ImageStore::IsThere(directory)) {
    const std::string missing = "no image store in " + directory;
    if (bake->parsed()) {
      return Complain({ENOENT, "no image " + options.bake.image + ": " + missing}, "bake");
    }
    // The usual one is made by the first image.
    const bool all = list->parsed() && options.references.empty();
    std::error_code error;
    const bool none =
        !std::filesystem::exists(directory, error) || std::filesystem::is_empty(directory, error);
    if (!all || !none || directory != ImageStoreOf(kDefaultNode))
      return Complain({EINVAL, missing});
    const Status listed = List(nullptr, options);
    return listed.ok() ? 0 : Complain(listed);
  }
  const auto store = ImageStore::Open(directory, options.config);
  if (!store.ok()) return Complain(store.status());
  Status status;
  if (bake->parsed())
    return EndOfBake(BakeFromStore(store->get(), options.bake, Interrupted), "bake");
  if (pull->parsed()) status = Pull(store->get(), &options);
  if (import->parsed()) status = Import(store->get(), options);
  if (list->parsed()) status = List(store->get(), options);
  if (remove->parsed()) status = Remove(store->get(), options);
  if (collect->parsed()) status = Collect(store->get());
  return status.ok() ? 0 : Complain(status, app.get_subcommands().front()->get_name());
}

}  // namespace
}  // namespace usetl::image

int main(int argc, char** argv) {
  usetl::ReserveOutput();
  return usetl::EndOutput(usetl::image::Main(argc, argv));
}
