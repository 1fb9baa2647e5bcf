// attachment.h: a client that sees what the function prints.
#ifndef USETL_VMM_PROXY_POD_ATTACHMENT_H_
#define USETL_VMM_PROXY_POD_ATTACHMENT_H_

#include <array>
#include <string_view>
#include <vector>

#include "vmm/base/status.h"
#include "vmm/proxy/pod/protocol.h"
#include "vmm/proxy/pod/stream_writer.h"

namespace usetl::pod {

// The function never waits for it: a client that does not keep up loses its streams.
class Attachment {
 public:
  // `fds` as `record` announces them. Input is closed: a function reads none.
  Attachment(const ExecRecord& record, std::vector<Fd> fds);

  void Add(uint32_t stream, std::string_view bytes);
  void Fail(const Status& cause);
  // The function has ended.
  void End(int code);

  void AddTo(std::vector<pollfd>* fds) const;
  // Moves what can be moved. False: the client has left.
  bool Turn();

 private:
  Fd session_;
  std::array<StreamWriter, 2> outputs_;  // standard output, standard error
};

}  // namespace usetl::pod

#endif  // USETL_VMM_PROXY_POD_ATTACHMENT_H_
