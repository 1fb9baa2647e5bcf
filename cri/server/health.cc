#include "cri/server/health.h"

#include <sys/socket.h>
#include <sys/time.h>

#include "cri/metrics/pool_state.h"
#include "vmm/ipc/socket.h"

namespace usetl::cri {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFresh{1000};
constexpr milliseconds kPatience{750};  // with each daemon: crictl waits 2 s
constexpr std::chrono::seconds kHangs{10};

// A worker takes the connection up, sees that nothing is asked for, and says so.
Status AskProxy(const std::string& socket) {
  const Result<Fd> connection = ipc::Connect(socket, kPatience);
  if (!connection.ok()) return connection.status();
  const timeval wait{0, std::chrono::microseconds(kPatience).count()};
  if (setsockopt(connection->get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0 ||
      shutdown(connection->get(), SHUT_WR) != 0) {
    return Status::Errno("asking for an answer");
  }
  return ipc::Receive(connection->get()).status();
}

}  // namespace

Health::Answer Health::Check() {
  const std::lock_guard lock(mutex_);
  if (Clock::now() - asked_ < kFresh) return answer_;
  answer_ = Ask();
  asked_ = Clock::now();
  return answer_;
}

Health::Answer Health::Ask() {
  Status status = Judge("usetl-proxy", AskProxy(pods_), &proxy_answered_);
  if (!status.ok()) return {std::move(status), "ProxyUnreachable"};
  const Result<PoolState> pool = ReadPoolState(vmmd_, kPatience);
  if (pool.ok()) capacity_.Learn(*pool);
  status = Judge("usetl-vmmd", pool.status(), &vmmd_answered_);
  if (!status.ok()) return {std::move(status), "VmmdUnreachable"};
  return {};
}

Status Health::Judge(const char* daemon, const Status& answer, Clock::time_point* last) {
  const Clock::time_point now = Clock::now();
  const bool late = answer.code() == EAGAIN || answer.code() == ETIMEDOUT;
  if (answer.ok()) *last = now;
  if (answer.ok() || (late && now - *last < kHangs)) return Status();
  const std::string why = late ? "does not answer" : "is not there: " + answer.message();
  return Status(answer.code(),
                std::string(daemon) + " " + why + "; no function can start until it is restarted");
}

}  // namespace usetl::cri
