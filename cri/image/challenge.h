// challenge.h: what a registry that wants to know who asks says: WWW-Authenticate.
#ifndef USETL_CRI_IMAGE_CHALLENGE_H_
#define USETL_CRI_IMAGE_CHALLENGE_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace usetl::image {

inline constexpr size_t kMaxChallenge = 8192;

struct Challenge {
  std::string scheme;                             // lower case: "bearer", "basic"
  std::map<std::string, std::string> parameters;  // names in lower case
};

// The challenges of one header value, as RFC 9110 writes them; those before a malformed one, and
// none of a value that is too long.
std::vector<Challenge> ParseChallenges(std::string_view value);

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_CHALLENGE_H_
