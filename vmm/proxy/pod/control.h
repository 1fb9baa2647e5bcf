// control.h: a container's side of its talk with usetld.
//
// usetld may be restarted, may stop reading and may never come back: nothing here waits for it. A
// usetld that does not read loses its connection and finds the state again when it connects.
#ifndef USETL_VMM_PROXY_POD_CONTROL_H_
#define USETL_VMM_PROXY_POD_CONTROL_H_

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"
#include "vmm/proxy/pod/protocol.h"

namespace usetl::pod {

struct ControlHandlers {
  std::function<void(uint32_t grace_ms)> stop;
  std::function<void(Fd log)> reopen_log;
  std::function<void(Fd page)> count;
  std::function<void(const UpdateMountRecord& record, std::vector<Fd> fds)> update_mount;
  std::function<void(const ExecRecord& record, std::string_view text, std::vector<Fd> fds)> exec;
};

class Control {
 public:
  // `connection`: of the usetld that asked; `listener`: where the next one comes; `exit_file`:
  // empty.
  Control(Fd connection, Fd listener, Fd exit_file, ControlHandlers handlers);

  // Both may be -1, which poll(2) passes over. Call the function when its descriptor is readable.
  int connection_fd() const { return connection_.get(); }
  int listener_fd() const { return listener_.get(); }
  void OnConnection();
  void OnListener();

  // The container runs: told now, and to each usetld that connects from here on.
  void Started(const StartedRecord& record);
  // The container's end goes to the exit file first: what is yet to be done before it is told may
  // take so long that this process is killed.
  //
  // It could not be started: an exit with status 128 there, of a function that lacked memory
  // (kOutOfMemory) 137.
  void WriteFailed(Reason reason, std::string_view text);
  void TellFailed(int code, std::string_view text);
  // Sets header and time.
  void WriteExited(ExitRecord record, std::string_view text);
  // As it was written.
  void TellExited();

 private:
  void Send(std::span<const uint8_t> record, std::string_view text);
  void OnMessage(std::span<const uint8_t> bytes, std::vector<Fd> fds);

  Fd connection_, listener_, exit_file_;
  ControlHandlers handlers_;
  std::optional<StartedRecord> started_;
  ExitRecord exit_{};
  std::string exit_text_;
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_CONTROL_H_
