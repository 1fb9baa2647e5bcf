#include "vmm/proxy/etl/name_resolver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cstring>

#include "vmm/proxy/etl/address_ranges.h"
#include "vmm/proxy/etl/curl_loop.h"

namespace usetl::etl {
namespace {

constexpr int kEventsAtOnce = 16;
constexpr size_t kMostKnown = 256;     // names that are remembered
constexpr size_t kMostAddresses = 16;  // of a name
constexpr uint32_t kMostAsked = 256;
constexpr uint64_t kMostPatience = 30'000'000'000;  // ns
constexpr int kMostTtl = 60;                        // seconds, as libcurl has it

}  // namespace

struct NameResolver::Question {
  NameResolver* resolver;
  uint64_t lookup;
  std::string host;
};

Result<std::unique_ptr<NameResolver>> NameResolver::Create(NameConfig config) {
  std::unique_ptr<NameResolver> resolver(new NameResolver(std::move(config)));
  USETL_RETURN_IF_ERROR(resolver->Start());
  return resolver;
}

Status NameResolver::Start() {
  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  timer_ = Fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll_.ok() || !timer_.ok()) return Status::Errno("epoll and timer of a resolver");
  epoll_event event{EPOLLIN, {.fd = timer_.get()}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event) != 0) {
    return Status::Errno("epoll_ctl");
  }
  if (config_.servers.empty()) return Status();
  const uint64_t questions = config_.servers.size() * static_cast<uint64_t>(config_.attempts);
  patience_ns_ = std::min(questions * config_.timeout_ms * 1'000'000, kMostPatience);
  std::vector<char*> domains;
  for (const std::string& domain : config_.searches) {
    domains.push_back(const_cast<char*>(domain.c_str()));
  }
  char lookups[] = "b";  // servers only: the hosts file is the pod's
  ares_options options{};
  options.timeout = config_.timeout_ms;
  options.tries = config_.attempts;
  options.ndots = config_.ndots;
  options.domains = domains.data();
  options.ndomains = static_cast<int>(domains.size());
  options.lookups = lookups;
  options.sock_state_cb = OnSocket;
  options.sock_state_cb_data = this;
  const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_DOMAINS |
                   ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
                   (config_.rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE);
  int status = ares_init_options(&channel_, &options, mask);
  if (status == ARES_SUCCESS) {
    std::string servers;
    for (const std::string& server : config_.servers) {
      servers += (servers.empty() ? "" : ",") + server;
    }
    status = ares_set_servers_csv(channel_, servers.c_str());
  }
  return status == ARES_SUCCESS ? Status()
                                : Status(EINVAL, std::string("resolver: ") + ares_strerror(status));
}

NameResolver::~NameResolver() {
  open_.clear();  // nobody is told any more
  if (channel_ != nullptr) ares_destroy(channel_);
}

bool NameResolver::Knows(const std::string& host) const {
  return config_.hosts.contains(host) || (config_.names_servers && !IsAddress(host));
}

uint64_t NameResolver::Lookup(const std::string& host, Done done) {
  const std::string bare = host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
  if (const auto found = config_.hosts.find(bare); found != config_.hosts.end()) {
    done(found->second);
    return 0;
  }
  if (bare == "localhost" || bare.ends_with(".localhost")) {  // RFC 6761, section 6.3
    done(std::vector<std::string>{"127.0.0.1", "::1"});
    return 0;
  }
  if (const auto found = known_.find(host); found != known_.end()) {
    if (NowNs() < found->second.until) {
      done(found->second.addresses);
      return 0;
    }
    known_.erase(found);
  }
  if (channel_ == nullptr || asked_ >= kMostAsked) {
    done(channel_ == nullptr ? Status(ENOENT, "the pod names no server that can be asked")
                             : Status(EAGAIN, "too many names are being looked up"));
    return 0;
  }
  ++asked_;
  const uint64_t lookup = ++last_lookup_;
  open_.emplace(lookup, std::move(done));
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  auto* question = new Question{this, lookup, host};  // OnAnswer's, which is always called
  ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, OnAnswer, question);
  Arm();
  return open_.contains(lookup) ? lookup : 0;
}

void NameResolver::OnAnswer(void* asked, int status, int, ares_addrinfo* found) {
  const std::unique_ptr<Question> question(static_cast<Question*>(asked));
  NameResolver* const self = question->resolver;
  --self->asked_;
  // What comes too late for who asked is there for the next.
  const Addresses addresses = self->Take(question->host, status, found);
  const auto open = self->open_.find(question->lookup);
  if (open != self->open_.end()) {
    const Done done = std::move(open->second);
    self->open_.erase(open);
    done(addresses);
  }
  if (found != nullptr) ares_freeaddrinfo(found);
}

NameResolver::Addresses NameResolver::Take(const std::string& host, int status,
                                           const ares_addrinfo* found) {
  const bool may_pass = status == ARES_ETIMEOUT || status == ARES_ECONNREFUSED ||
                        status == ARES_ESERVFAIL || status == ARES_EREFUSED;
  if (may_pass) {
    return Status(ETIMEDOUT, std::string("the pod's name servers: ") + ares_strerror(status));
  }
  Known known;
  int ttl = kMostTtl;
  for (const ares_addrinfo_node* node = found == nullptr ? nullptr : found->nodes; node != nullptr;
       node = node->ai_next) {
    if (known.addresses.size() == kMostAddresses) break;
    known.addresses.push_back(AddressText(node->ai_addr));
    ttl = std::clamp(node->ai_ttl, 0, ttl);
  }
  if (status != ARES_SUCCESS || known.addresses.empty()) {
    return Status(ENOENT, std::string("the pod's name servers: ") +
                              ares_strerror(status == ARES_SUCCESS ? ARES_ENODATA : status));
  }
  known.until = NowNs() + static_cast<uint64_t>(ttl) * 1'000'000'000;
  if (known_.size() >= kMostKnown) known_.clear();
  return known_.insert_or_assign(host, std::move(known)).first->second.addresses;
}

void NameResolver::OnSocket(void* self, ares_socket_t socket, int readable, int writable) {
  const int epoll = static_cast<NameResolver*>(self)->epoll_.get();
  if (!readable && !writable) {
    epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nullptr);
    return;
  }
  epoll_event event{(readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u), {.fd = socket}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event) != 0) {
    epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event);
  }
}

void NameResolver::OnReady() {
  epoll_event events[kEventsAtOnce];
  const int count = epoll_wait(epoll_.get(), events, kEventsAtOnce, 0);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.fd == timer_.get()) {
      uint64_t expirations;
      (void)!read(timer_.get(), &expirations, sizeof expirations);  // c-ares looks at the clock
      ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      continue;
    }
    const uint32_t what = events[i].events;
    ares_process_fd(channel_, (what & ~EPOLLOUT) != 0 ? events[i].data.fd : ARES_SOCKET_BAD,
                    (what & EPOLLOUT) != 0 ? events[i].data.fd : ARES_SOCKET_BAD);
  }
  Arm();
}

void NameResolver::Arm() {
  itimerspec spec{};
  timeval wait;
  if (channel_ != nullptr && ares_timeout(channel_, nullptr, &wait) != nullptr) {
    spec.it_value.tv_sec = wait.tv_sec;
    spec.it_value.tv_nsec = std::max<long>(wait.tv_usec * 1000, 1);
  }
  timerfd_settime(timer_.get(), 0, &spec, nullptr);
}

}  // namespace usetl::etl
