// streaming_world.h: a streaming server whose programs are processes of this host, and clients.
#ifndef USETL_TESTS_UNIT_STREAMING_WORLD_H_
#define USETL_TESTS_UNIT_STREAMING_WORLD_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cri/streaming/server.h"

namespace usetl::test {

// Runs argv behind Process: sockets as in production, a pidfd. Notes sizes of its terminal, has
// none. With no argv it runs `cat`, which a test detaches from.
Result<std::unique_ptr<cri::Process>> LaunchHostProcess(const cri::ProcessRequest& request);

struct StreamingWorld {
  explicit StreamingWorld(const cri::streaming::Timers& timers = {});

  // A path to ask for, as a client gets it.
  std::string Exec(std::vector<std::string> argv, bool in, bool out, bool err, bool tty = false);
  std::string Forward(std::vector<uint16_t> ports);
  std::string Expect(cri::streaming::StreamRequest request);

  std::mutex mutex;
  std::vector<std::string> log;
  std::unique_ptr<cri::streaming::Server> server;
};

// Programs of LaunchHostProcess that exist; waits until there are as many.
bool WaitForPrograms(int count);
// Columns and rows, as "80x24 100x30", of all Resize calls since the last call.
std::string TakeSizes();

// A client's socket; whatever it waits for is there within a minute, or the test fails.
class StreamingClient {
 public:
  explicit StreamingClient(const StreamingWorld& world);

  void Send(std::string_view bytes);
  // As many bytes; fewer at the end of the connection.
  std::string Receive(size_t size);
  std::string ReceiveHead();
  // True when the server ended the connection; what it sent before is dropped.
  bool AtEnd();
  void Close() { socket_.Reset(); }
  int fd() const { return socket_.get(); }

 private:
  Fd socket_;
};

// GET of `path` with `lines`, answered with its head.
std::string Ask(StreamingClient* client, const std::string& path, const std::string& lines);

}  // namespace usetl::test

#endif  // USETL_TESTS_UNIT_STREAMING_WORLD_H_
