#include "cri/container/bake_process.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <chrono>
#include <vector>

#include "cri/child/child_process.h"
#include "vmm/base/installation.h"

namespace usetl::cri {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLimit{90};  // usetl-bake gives the image's Python 30 s
constexpr size_t kMostSaid = 256 << 10;
constexpr size_t kMostLine = 300;
constexpr int kNice = 10;  // behind pods that serve

std::string LineAt(const std::string& text, size_t begin) {
  std::string line = text.substr(begin, text.find('\n', begin) - begin);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line.substr(0, kMostLine);
}

// The error, and the last line of what the image's program said: Python's own word for it.
std::string Reason(const std::string& said) {
  constexpr char kMark[] = "usetl: ";
  size_t begin = 0;
  while (begin < said.size() && said.compare(begin, sizeof kMark - 1, kMark) != 0) {
    const size_t end = said.find('\n', begin);
    begin = end == said.npos ? said.size() : end + 1;
  }
  if (begin >= said.size()) return "usetl-bake was killed";
  const std::string first = LineAt(said, begin + sizeof kMark - 1);
  size_t end = said.size();
  while (end > 0 && said[end - 1] == '\n') --end;
  const size_t before = end == 0 ? said.npos : said.rfind('\n', end - 1);
  const size_t last = before == said.npos ? 0 : before + 1;
  return last <= begin ? first : first + "; it said last: " + LineAt(said, last);
}

}  // namespace

Status BakeImage(const image::Image& image, const std::string& directory, const std::string& name,
                 int stop) {
  ChildProgram bake{InstalledPath("usetl-bake"),
                    {"usetl-bake", "--follow", std::to_string(getpid()), "--runtimes", directory,
                     "--runtime", name}};
  for (const std::string& pack : image.packs) bake.arguments.push_back("--layer=" + pack);
  for (const std::string& variable : image.config.environment) {
    bake.arguments.push_back("--env=" + variable);
  }
  Result<ChildPipe> pipe = MakeChildPipe(false);
  if (!pipe.ok()) return pipe.status();
  bake.err = pipe->theirs.get();
  ChildProcess process;
  USETL_RETURN_IF_ERROR(process.Start(std::move(bake)));
  // Refused: it takes its share of the processors all the same.
  (void)!setpriority(PRIO_PROCESS, static_cast<id_t>(process.pid()), kNice);
  pipe->theirs.Reset();
  ChildOutput said(std::move(pipe->ours), kMostSaid, ChildOutput::Keep::kFirst);
  const Clock::time_point end = Clock::now() + kLimit;
  for (bool ended = false; !ended;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) {
      return Status(ECHILD, "it took longer than " + std::to_string(kLimit.count()) + " s");
    }
    // A negative descriptor is passed over.
    pollfd set[] = {
        {said.descriptor(), POLLIN, 0}, {process.descriptor(), POLLIN, 0}, {stop, POLLIN, 0}};
    if (poll(set, 3, static_cast<int>(left)) < 0 && errno != EINTR) return Status::Errno("poll");
    if (set[2].revents != 0) return Status(ECANCELED, "usetld ends");
    ended = set[1].revents != 0;
    said.Read();
  }
  const int status = process.Reap();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Status();
  return Status(ECHILD, Reason(said.text()));
}

}  // namespace usetl::cri
