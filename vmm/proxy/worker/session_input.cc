// session_input.cc: what a client asked for becomes a claimed USF with its files, load and event.
#include <malloc.h>

#include <algorithm>
#include <cstring>

#include "vmm/proxy/worker/session.h"

namespace usetl {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxInput = 32 << 20;  // function file, standard input
constexpr size_t kMaxInline = 16 << 10;   // of an event within its record
constexpr uint64_t kLoadId = 1, kInvokeId = 2;

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Result<std::string> ReadAll(int fd, const char* what) {
  std::string text;
  char buffer[64 << 10];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::Errno(std::string("read ") + what);
    if (text.size() + n > kMaxInput) return Status(EFBIG, std::string(what) + " exceeds 32 MB");
    text.append(buffer, n);
  }
  return text;
}

template <size_t N>
bool CopyText(const std::string& text, char (&field)[N]) {
  if (text.size() >= N) return false;
  std::memcpy(field, text.c_str(), text.size() + 1);
  return true;
}

}  // namespace

void Session::Rehearse() {
  // The next pages of heap and stack, which a fork leaves unmapped. Freed memory stays mapped.
  constexpr size_t kHeap = 512 << 10;
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 8 << 20);
  std::string warm(kHeap, '\0');
  volatile char stack[kHeap / 2];
  for (size_t i = 0; i < sizeof stack; i += abi::kPageSize) stack[i] = 0;
  // The code of the two.
  const json text = json::parse(R"({"a":["b",1,true,null,{"c":1.5}]})");
  warm = text.dump();
}

Status Session::ReadRequest() {
  Result<ipc::Message> message = ipc::Receive(client_.get());
  if (!message.ok()) return message.status();
  request_ = json::parse(message->bytes.begin(), message->bytes.end(), nullptr, false);
  if (!request_.is_object() || message->fds.empty()) {
    return Status(EINVAL, "the request to run a function is malformed");
  }
  files_ = std::move(message->fds);
  mark_ = Clock::now();
  return Status();
}

Status Session::Prepare() {
  USETL_RETURN_IF_ERROR(MakePolicy());
  pool::ClaimRequest claim{};
  claim.request = pool::Request::kClaim;
  claim.wait_ms = 10'000;
  claim.ram_limit = request_.value("memory", uint64_t{0});
  if (!CopyText(request_.value("runtime", "python3.11"), claim.runtime) ||
      !CopyText(request_.value("tenant", "default"), claim.tenant)) {
    return Status(EINVAL, "the name of the runtime or tenant is too long");
  }
  Result<std::unique_ptr<UsfLink>> link = UsfLink::Claim(std::move(vmmd_), claim);
  if (!link.ok()) return link.status();
  link_ = std::move(*link);
  Mark("claim");
  deadline_ = Clock::now() + std::chrono::milliseconds(request_.value("timeout_ms", 60'000u));

  return AddInput();
}

Status Session::MakePolicy() {
  for (const json& origin : request_.value("allow", json::array())) {
    if (!origin.is_string()) return Status(EINVAL, "an allowed origin is not text");
    USETL_RETURN_IF_ERROR(policy_.Allow(origin.get<std::string>()));
  }
  return Status();
}

Status Session::AddInput() {
  Result<std::string> code = ReadAll(files_[0].get(), "the function");
  if (!code.ok()) return code.status();
  std::string name = request_.value("file", "function.py");
  std::replace(name.begin(), name.end(), '/', '_');
  const std::string path = "/function/" + name;
  USETL_RETURN_IF_ERROR(link_->region().AddFile(path, AsBytes(*code), 0644));
  json load = {{"path", path},
               {"mode", request_.value("mode", "auto")},
               {"argv", request_.value("argv", json::array())},
               {"env", request_.value("env", json::object())}};
  if (request_.contains("handler") && request_["handler"].is_string()) {
    load["handler"] = request_["handler"];
  }
  if (request_.value("stdin", false) && files_.size() > 1) {
    Result<std::string> input = ReadAll(files_[1].get(), "standard input");
    if (!input.ok()) return input.status();
    USETL_RETURN_IF_ERROR(link_->region().AddFile("/run/usetl/stdin", AsBytes(*input), 0444));
    load["stdin"] = "/run/usetl/stdin";
  }
  json invoke = {{"context", {{"function_name", name}}}};
  const json event = request_.value("event", json());
  if (event.dump().size() > kMaxInline) {
    USETL_RETURN_IF_ERROR(
        link_->region().AddFile("/run/usetl/event.json", AsBytes(event.dump()), 0444));
    invoke["event_path"] = "/run/usetl/event.json";
  } else {
    invoke["event"] = event;
  }
  const std::string text = load.dump();
  if (!link_->Post(abi::RecordType::kLoad, kLoadId, AsBytes(text))) {
    return Status(E2BIG, "arguments and environment exceed 32 kB");
  }
  // At once: the guest goes on by itself when the load succeeds. After a failed one it has nothing
  // to invoke, says so, and nobody listens.
  if (!link_->Post(abi::RecordType::kInvoke, kInvokeId, AsBytes(invoke.dump()))) {
    return Status(E2BIG, "the event does not fit the ring");
  }
  return Status();
}

}  // namespace usetl
