// stays.cc: USFs in the cgroups of pods: what a function computes counts there, and is limited.
//
//   claim, with files of cgroups --> kWaiting: the load comes first
//   kEnter, or a while --> kEntering --kMoved--> kInside
//   release --> kLeaving --kMoved--> kOutside, then the rollback
//
// One that is not rolled back is killed, and may be in the cgroups until it is reaped.
//
// A USF's process moves itself, by descriptors that move processes of its user only. Those of the
// cgroup that it came from it gets with the order to leave: it cannot leave before. Whether it has
// done as it was told is looked at, and so is what it has kept, before it serves anybody again.
#include <algorithm>
#include <optional>

#include "vmm/vmmd/cgroups.h"
#include "vmm/vmmd/daemon.h"

namespace usetl {
namespace {

using State = Stay::State;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kBesideLoad{30};  // so long an import is not held up
constexpr std::chrono::seconds kPatience{5};          // microseconds, unless the host hangs
constexpr std::chrono::seconds kMoverPatience{60};    // milliseconds, from when it is begun

// Of a kMove.
constexpr uint32_t kToEnter = 1, kToLeave = 2;

// When its time is up; none: nothing is waited for.
std::optional<SteadyClock::time_point> DueTime(const Stay& stay) {
  if (stay.state != State::kWaiting && stay.state != State::kEntering) return std::nullopt;
  if (stay.state == State::kWaiting || stay.move == nullptr) return stay.due;
  // It is not to blame for those before it; when it is looked at next it may have begun.
  const SteadyClock::time_point begun = stay.move->begun;
  return (begun == SteadyClock::time_point() ? SteadyClock::now() : begun) + kMoverPatience;
}

Status NotAsTold() {
  return Status(EPERM, "the USF's process is not in the cgroup it was sent to");
}

}  // namespace

bool Vmmd::TakeCgroups(Connection* connection, std::vector<Fd> files) {
  if (files.size() > pool::kMaxCgroups) return false;
  if (!std::ranges::all_of(files, IsCgroupFile) || !AreOfOneProcess(files)) return false;
  if (files.empty()) return true;
  connection->cgroups = std::make_shared<const std::vector<Fd>>(std::move(files));
  return true;
}

void Vmmd::PlanStay(UsfHandle* usf, const CgroupFiles& files) {
  if (files == nullptr) return;
  usf->stay.files = files;
  usf->stay.state = State::kWaiting;
  usf->stay.due = SteadyClock::now() + kBesideLoad;
}

Status Vmmd::EnterCgroups(UsfHandle* usf) {
  Stay& stay = usf->stay;
  const std::vector<Fd>& files = *stay.files;
  stay.entered = false;
  stay.due = SteadyClock::now() + kPatience;
  if (!IsOfVersion1(files[0])) {
    usf->usable = false;  // what it has touched stays charged there
    USETL_RETURN_IF_ERROR(StartMover());
    auto move = std::make_shared<CgroupMove>();
    move->files = stay.files;
    move->process = usf->pid();
    stay.move = move;
    stay.state = State::kEntering;
    mover_->Add(std::move(move));
    return Status();
  }
  std::vector<int> wanted;
  for (const Fd& file : files) wanted.push_back(file.get());
  for (const Fd& file : files) {
    const int home = usf->usable ? homes_.InHierarchyOf(file) : -1;
    if (home < 0) usf->usable = false;  // it cannot leave
    if (home >= 0) wanted.push_back(home);
  }
  if (user_files_ == nullptr) {
    Result<std::unique_ptr<UserFiles>> started = UserFiles::Start();
    if (!started.ok()) return started.status();
    user_files_ = std::move(*started);
  }
  Result<std::vector<Fd>> opened = user_files_->Open(usf->uid(), wanted);
  if (!opened.ok()) return opened.status();
  std::vector<int> own;
  for (size_t i = 0; i < files.size(); ++i) own.push_back((*opened)[i].get());
  stay.home.assign(std::make_move_iterator(opened->begin() + files.size()),
                   std::make_move_iterator(opened->end()));
  stay.state = State::kEntering;
  stay.unproved = true;
  return usf->MoveTo(own, kToEnter);
}

void Vmmd::EndStay(UsfHandle* usf) {
  Stay& stay = usf->stay;
  if (stay.state == State::kWaiting) {
    stay.state = State::kOutside;
    stay.files.reset();
  }
  if (stay.state != State::kEntering && stay.state != State::kInside) return;
  if (!usf->usable) return;  // it ends
  std::vector<int> home;
  for (const Fd& file : stay.home) home.push_back(file.get());
  stay.state = State::kLeaving;
  if (!usf->MoveTo(home, kToLeave).ok()) usf->usable = false;
  stay.home.clear();
}

// One that says what cannot be, or does not do as it was told, is not trusted any further.
Status Vmmd::CheckStay(UsfHandle* usf, const usf::EventRecord& event, const std::string& text) {
  Stay& stay = usf->stay;
  if (event.event == usf::Event::kRolledBack) {
    if (stay.state != State::kOutside) return NotAsTold();
    if (!stay.unproved) return Status();
    // What it has not received yet it would get behind the look.
    const Result<bool> received = HasReceivedAll(usf->socket());
    if (!received.ok()) return received.status();
    if (!*received) return Status(EPERM, "the USF's process has left an order unread");
    const Result<bool> holds = HoldsCgroupFile(usf->pid());
    if (!holds.ok()) return holds.status();
    if (*holds) return Status(EPERM, "the USF's process has kept a descriptor of a cgroup");
    stay.unproved = false;
    return Status();
  }
  if (event.event != usf::Event::kMoved) return Status();
  const bool entered = event.order == kToEnter;
  const bool moving = stay.state == State::kLeaving || (entered && stay.state == State::kEntering);
  const bool in_order = entered ? !stay.entered : event.order == kToLeave && stay.entered;
  if (!moving || !in_order) return Status(EPROTO, "the USF's process broke the protocol");
  if (event.status != 0) return Status(event.status, text);
  stay.entered = stay.entered || entered;
  if (entered && stay.state == State::kLeaving) return Status();  // it may have left again
  // The answer does not wait for the look: one that has lied is killed.
  if (Connection* holder = HolderOf(usf); !entered && holder != nullptr && holder->leaving) {
    holder->usf = nullptr;
    AnswerLeft(holder);
  }
  for (const Fd& file : *stay.files) {
    const Result<bool> there = HasProcess(file, usf->pid());
    if (!there.ok()) return there.status();
    if (*there != entered) return NotAsTold();
  }
  stay.state = entered ? State::kInside : State::kOutside;
  if (!entered) stay.files.reset();
  return Status();
}

void Vmmd::ServeStays() {
  const auto now = SteadyClock::now();
  for (auto& [fd, connection] : connections_) {
    AnswerLeft(&connection);
    UsfHandle* const usf = connection.usf;
    if (usf == nullptr || connection.releasing || connection.leaving) continue;
    const auto due = DueTime(usf->stay);
    if (!due || now < *due) continue;
    const Status entered = usf->stay.state == State::kWaiting
                               ? EnterCgroups(usf)
                               : Status(ETIMEDOUT, "it has not entered in time");
    if (!entered.ok()) LoseToStay(&connection, entered);
  }
}

// A function whose limits cannot be kept does not run.
void Vmmd::LoseToStay(Connection* connection, const Status& cause) {
  UsfHandle* const usf = connection->usf;
  if (connection->clone) FailClone(connection, Status(ESRCH, "the function has ended"));
  pool::ReplyRecord reply{};
  reply.reply = pool::Reply::kEnded;
  reply.lost = 1;
  reply.usf = usf->number();
  connection->usf = nullptr;
  usf->pool->OnEvent(usf, nullptr);  // first: who hears of its end relies on it
  Tell(connection, reply, "the pod's cgroup: " + cause.message());
}

Status Vmmd::StartMover() {
  if (mover_ != nullptr) return Status();
  Result<std::unique_ptr<Mover>> mover = Mover::Start();
  if (!mover.ok()) return mover.status();
  USETL_RETURN_IF_ERROR(Watch((*mover)->fd()));
  mover_ = std::move(*mover);
  return Status();
}

void Vmmd::OnMoved() {
  for (const std::shared_ptr<CgroupMove>& move : mover_->TakeOver()) {
    move->over = true;
    for (auto& [fd, connection] : connections_) {
      if (connection.usf == nullptr || connection.usf->stay.move != move) continue;
      connection.usf->stay.state = State::kInside;
      if (!move->status.ok()) LoseToStay(&connection, move->status);
      break;
    }
  }
  reaper_->Reap();  // it waited for them
}

// How long until the next one is due, ms; -1: none is.
int Vmmd::StayPause() const {
  int pause = -1;
  for (const auto& [fd, connection] : connections_) {
    if (connection.usf == nullptr) continue;
    const auto due = DueTime(connection.usf->stay);
    if (!due) continue;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - SteadyClock::now());
    const int own = static_cast<int>(std::max<int64_t>(left.count(), 0));
    pause = pause < 0 ? own : std::min(pause, own);
  }
  return pause;
}

void Vmmd::OnEnter(Connection* connection) {
  Stay& stay = connection->usf->stay;
  if (stay.state == State::kWaiting) stay.due = SteadyClock::now();  // and behind it is served
}

void Vmmd::OnLeave(Connection* connection) {
  UsfHandle* const usf = connection->usf;
  if (connection->clone) FailClone(connection, Status(ESRCH, "the function has ended"));
  CloseClones(connection);
  connection->leaving = true;
  if (usf != nullptr) {
    EndStay(usf);
    const bool moves = usf->stay.state == State::kLeaving;
    // Else it is nowhere, or was killed.
    if (!usf->pool->Release(usf) || !moves) connection->usf = nullptr;
  }
  AnswerLeft(connection);
}

void Vmmd::AnswerLeft(Connection* connection) {
  if (!connection->leaving || connection->usf != nullptr) return;
  if (reaper_->HasIn(connection->cgroups)) return;
  connection->leaving = false;
  pool::ReplyRecord reply{};
  reply.reply = pool::Reply::kReleased;
  Tell(connection, reply, "");
}

}  // namespace usetl
