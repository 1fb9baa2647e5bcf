// Programs that run beside a container's function, each in a clone of its USF.
#include <algorithm>
#include <cstring>

#include "vmm/proxy/pod/container.h"

namespace usetl::pod {
namespace {

// Each is a USF more.
constexpr size_t kMostExecs = 8;
constexpr size_t kMostAttachments = 16;

}  // namespace

void Container::KeepForExec(const StartRequest& request) {
  std::map<std::string, std::string> environment = request.environment;
  environment.emplace("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  environment.emplace("HOME", "/root");
  environment.emplace("LANG", "C.UTF-8");
  environment.emplace("PYTHONPATH", "/usr/lib/usetl");  // as the function finds its package
  for (const auto& [name, value] : environment) exec_environment_.push_back(name + "=" + value);
  exec_directory_ = request.cwd;
}

void Container::Attach(const ExecRecord& record, std::vector<Fd> fds) {
  attachments_.emplace_back(record, std::move(fds));
  if (attachments_.size() <= kMostAttachments) return;
  attachments_.back().Fail(
      Status(EBUSY, std::to_string(kMostAttachments) + " clients are attached already"));
  attachments_.pop_back();
}

void Container::ShowOutput(uint32_t stream, std::string_view bytes) {
  log_->Add(stream, bytes);
  for (Attachment& attachment : attachments_) attachment.Add(stream, bytes);
}

void Container::OnExec(const ExecRecord& record, std::string_view arguments, std::vector<Fd> fds) {
  if (arguments == "[]") return Attach(record, std::move(fds));
  ExecOrder order;
  Result<std::vector<std::string>> parsed = ParseArguments(arguments);
  if (parsed.ok()) order.arguments = std::move(*parsed);
  order.environment = exec_environment_;
  if (record.terminal != 0) order.environment.push_back("TERM=xterm");
  order.directory = exec_directory_;
  auto exec = std::make_unique<Exec>(record, std::move(fds), std::move(order),
                                     mounts_ ? &*mounts_ : nullptr);
  if (!parsed.ok()) return exec->Fail(parsed.status());
  if (!loaded_ || stopping_) return exec->Fail(Status(ESRCH, "the container is not running"));
  if (execs_.size() >= kMostExecs) {
    return exec->Fail(Status(EBUSY, std::to_string(kMostExecs) +
                                        " programs run in this container already; wait for one"));
  }
  execs_.push_back(std::move(exec));
  awaiting_clones_.push_back(execs_.back().get());
  if (awaiting_clones_.size() == 1) RequestClone();
}

void Container::RequestClone() {
  const Status asked = link_->RequestClone(packs_);
  if (!asked.ok()) End(Lost("usetl-vmmd left while the function ran"));
}

void Container::OnCloned(ipc::Message message) {
  if (awaiting_clones_.empty()) return;
  Exec* exec = awaiting_clones_.front();
  awaiting_clones_.erase(awaiting_clones_.begin());
  Result<std::unique_ptr<UsfLink>> link = UsfLink::OfClone(std::move(message));
  if (exec != nullptr) exec->Begin(std::move(link));
  // Those that left while they waited need none.
  while (!awaiting_clones_.empty() && awaiting_clones_.front() == nullptr) {
    awaiting_clones_.erase(awaiting_clones_.begin());
  }
  if (!awaiting_clones_.empty()) RequestClone();
}

void Container::TurnExecs() {
  std::erase_if(attachments_, [](Attachment& attachment) { return !attachment.Turn(); });
  for (const auto& exec : execs_) exec->Turn();
  std::erase_if(execs_, [this](const std::unique_ptr<Exec>& exec) {
    if (exec->done()) std::ranges::replace(awaiting_clones_, exec.get(), nullptr);
    return exec->done();
  });
}

}  // namespace usetl::pod
