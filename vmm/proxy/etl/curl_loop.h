// curl_loop.h: libcurl's multi interface behind one descriptor.
#ifndef USETL_VMM_PROXY_ETL_CURL_LOOP_H_
#define USETL_VMM_PROXY_ETL_CURL_LOOP_H_

#include <curl/curl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "vmm/base/fd.h"
#include "vmm/base/status.h"

namespace usetl::etl {

// CLOCK_MONOTONIC.
uint64_t NowNs();

// Sockets of all transfers and one timer in an epoll descriptor. Single-threaded, never blocks.
class CurlLoop {
 public:
  static Result<std::unique_ptr<CurlLoop>> Create();
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  CURLM* multi() const { return multi_; }
  int fd() const { return epoll_.get(); }

  // Does what sockets and libcurl's timer have ready; `done` learns of finished transfers and may
  // add or remove transfers. False: there was nothing to do.
  using Done = std::function<void(CURL*, CURLcode)>;
  bool Run(const Done& done);
  // Lets libcurl act at once on what was added or resumed.
  void Kick(const Done& done);

  // Calls `ready` in Run() when the descriptor is readable. Once; it outlives the loop's use.
  Status Watch(int fd, std::function<void()> ready);

  // Wakes the descriptor at `deadline` (NowNs), beside libcurl's own times. 0: no deadline.
  void SetDeadline(uint64_t deadline);

 private:
  CurlLoop(CURLM* multi, Fd epoll, Fd timer);
  static int OnSocket(CURL* easy, curl_socket_t socket, int what, void* self, void* known);
  static int OnTimer(CURLM* multi, long timeout_ms, void* self);
  void Report(const Done& done);
  void Arm();

  CURLM* multi_;
  Fd epoll_;
  Fd timer_;
  int watched_ = -1;
  std::function<void()> on_watched_;
  uint64_t curl_deadline_ = 0;
  uint64_t own_deadline_ = 0;
  uint64_t armed_ = 0;
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_CURL_LOOP_H_
