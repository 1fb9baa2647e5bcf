#include "vmm/proxy/gateway/server.h"

#include <fcntl.h>

#include <ctime>

#include "vmm/proxy/gateway/connection.h"
#include "vmm/proxy/gateway/core.h"
#include "vmm/proxy/gateway/head_parser.h"
#include "vmm/proxy/gateway/header_rules.h"

namespace usetl::gateway {

void WarmUp() {
  RequestHead head;
  (void)ParseHead("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &head);
  tzset();  // strftime() reads files otherwise, at the first answer
}

Server::Server(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::Create(const Options& options, Backend* backend) {
  Result<std::unique_ptr<Core>> core = Core::Create(options, backend);
  if (!core.ok()) return core.status();
  return std::unique_ptr<Server>(new Server(std::move(*core)));
}

Status Server::Listen(std::vector<Fd> sockets) {
  for (const Fd& socket : sockets) {
    if (fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) return Status::Errno("fcntl");
  }
  return core_->Listen(std::move(sockets));
}

void Server::StopListening() { core_->StopListening(); }

Status Server::Adopt(Fd socket, Endpoint client, Endpoint server) {
  if (fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) return Status::Errno("fcntl");
  return core_->Adopt(std::move(socket), std::move(client), std::move(server));
}

int Server::poll_fd() const { return core_->poll_fd(); }
void Server::OnReady() { core_->OnReady(); }
bool Server::closed() const { return core_->closed(); }
const Counters& Server::counters() const { return core_->counters(); }

void Server::Answer(uint64_t id, AnswerHead head, std::optional<uint64_t> size) {
  Ticket* ticket = core_->Find(id);
  if (ticket == nullptr || ticket->status != 0) return;
  ticket->status = head.status;
  ticket->connection->protocol().Answer(id, ticket->stream, std::move(head), size);
}

bool Server::AnswerData(uint64_t id, std::string_view bytes) {
  Ticket* ticket = core_->Find(id);
  if (ticket == nullptr || ticket->status == 0) return true;
  const bool room = ticket->connection->protocol().AnswerData(id, ticket->stream, bytes);
  ticket->waits = !room;
  // The client may never take what waits.
  if (!room) core_->NoteDeadline(ticket->connection->Deadline());
  return room;
}

void Server::AnswerEnd(uint64_t id) {
  Ticket* ticket = core_->Find(id);
  if (ticket == nullptr || ticket->status == 0) return;
  Connection* const connection = ticket->connection;
  const uint32_t stream = ticket->stream;
  // First: the protocol may be at the connection's end with it.
  core_->Finish(id, ticket->status);
  connection->protocol().AnswerEnd(id, stream);
  core_->NoteDeadline(connection->Deadline());
}

void Server::BodyTaken(uint64_t id, uint64_t bytes) { core_->BodyTaken(id, bytes); }

void Server::AnswerError(uint64_t id, int status, std::string_view text) {
  Ticket* ticket = core_->Find(id);
  if (ticket == nullptr) return;
  Connection* const connection = ticket->connection;
  const uint32_t stream = ticket->stream;
  if (ticket->status != 0) {
    core_->Finish(id, 0);
    return connection->protocol().BreakOff(id, stream);
  }
  const std::string body = ErrorBody(text, connection->protocol().RequestIdOf(stream));
  Answer(id, {status, {{"content-type", "application/json"}}}, body.size());
  AnswerData(id, body);
  AnswerEnd(id);
}

void Server::Drain(std::chrono::milliseconds limit) {
  core_->Drain(NowNs() + std::chrono::nanoseconds(limit).count());
}

}  // namespace usetl::gateway
