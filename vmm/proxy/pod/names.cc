#include "vmm/proxy/pod/names.h"

#include <unistd.h>

#include <algorithm>

namespace usetl::pod {
namespace {

constexpr uint64_t kMost = 64 << 10;

Result<std::string> ReadFile(const StartRequest& request, const StartRequest::File& file) {
  std::string text(std::min(file.size, kMost), '\0');
  for (size_t done = 0; done < text.size();) {
    const ssize_t size = pread(request.contents.get(), text.data() + done, text.size() - done,
                               static_cast<off_t>(file.offset + done));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Status::Errno("read " + file.path);
    if (size == 0) return Status(EINVAL, file.path + ": not within the contents");
    done += static_cast<size_t>(size);
  }
  return text;
}

}  // namespace

Result<etl::NameConfig> ReadNames(const StartRequest& request) {
  etl::NameConfig names;
  for (const StartRequest::File& file : request.files) {
    const bool resolver = file.path == "/etc/resolv.conf";
    if (!resolver && file.path != "/etc/hosts") continue;
    const Result<std::string> text = ReadFile(request, file);
    if (!text.ok()) return text.status();
    resolver ? etl::ReadResolverConfig(*text, &names) : etl::ReadHosts(*text, &names);
  }
  return names;
}

}  // namespace usetl::pod
