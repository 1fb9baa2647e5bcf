#include "cri/image/image_bake.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "cri/image/files.h"
#include "cri/image/progress_line.h"
#include "vmm/base/fd.h"
#include "vmm/base/installation.h"
#include "vmm/pool/bake_directory.h"

namespace usetl::image {
namespace {

// While this lives, signals that end the program wait.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t ending;
    sigemptyset(&ending);
    for (const int signal : {SIGINT, SIGTERM}) sigaddset(&ending, signal);
    sigprocmask(SIG_BLOCK, &ending, &before_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  ~BlockedSignals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  const sigset_t& before() const { return before_; }

 private:
  sigset_t before_;
};

Result<int> Run(const std::string& program, std::vector<std::string> arguments,
                const Cancelled& cancelled) {
  const std::string path = InstalledPath(program);
  arguments.insert(arguments.begin(), program);
  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  // Signals come while it is waited for, and at no other time: none is overlooked.
  const BlockedSignals blocked;
  if (IsCancelled(cancelled)) return CancelledStatus();
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attributes, &blocked.before());
  pid_t child;
  const int error = posix_spawn(&child, path.c_str(), nullptr, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return Status(error, "start " + path + ": " + std::strerror(error));
  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  pollfd ended{process.get(), POLLIN, 0};
  while (process.ok() && ppoll(&ended, 1, nullptr, &blocked.before()) < 0 && errno == EINTR) {
    if (IsCancelled(cancelled)) kill(child, SIGTERM);  // and wait for its end
  }
  int status;
  if (waitpid(child, &status, 0) < 0) return Status::Errno("wait for " + program);
  if (IsCancelled(cancelled)) return CancelledStatus();
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  return Status(ECHILD, program + " was ended by signal " + std::to_string(WTERMSIG(status)));
}

}  // namespace

Result<int> BakeFromStore(ImageStore* store, const BakeOrder& order, const Cancelled& cancelled) {
  const Result<ImageLease> lease = store->Lease(order.image);
  if (!lease.ok()) return lease.status();
  const Image& image = lease->image();
  if (image.packs.empty()) return Status(EINVAL, "the image " + order.image + " has no layers");
  std::vector<std::string> arguments = {"--follow",   std::to_string(getpid()),
                                        "--runtimes", order.runtimes,
                                        "--runtime",  order.runtime};
  if (!order.trace.empty()) arguments.insert(arguments.end(), {"--trace", order.trace});
  for (const std::string& pack : image.packs) arguments.push_back("--layer=" + pack);
  for (const std::string& variable : image.config.environment) {
    arguments.push_back("--env=" + variable);
  }
  return Run("usetl-bake", std::move(arguments), cancelled);
}

Result<int> BakeFromFile(const StoreConfig& config, const BakeOrder& order,
                         const Cancelled& cancelled) {
  // In the file system of the runtimes, which link to its packs.
  const auto directory = BakeDirectory::Create(order.runtimes, order.runtime + ".images");
  if (!directory.ok()) return directory.status();
  const auto store = ImageStore::Open(directory->path(), config);
  if (!store.ok()) return store.status();
  Result<std::vector<std::string>> ids = Status();
  {
    ProgressLine line("reading " + order.file);
    ids = (*store)->Import(
        order.file, "", [&](const Progress& progress) { line.Draw(progress); }, cancelled);
  }
  if (!ids.ok()) return ids.status();
  if (ids->size() != 1) {
    return Status(EINVAL, order.file + " holds " + std::to_string(ids->size()) +
                              " images; usetl image import it, then usetl bake NAME");
  }
  BakeOrder imported = order;
  imported.image = ids->front();
  return BakeFromStore(store->get(), imported, cancelled);
}

}  // namespace usetl::image
