#include "cri/image/challenge.h"

#include <algorithm>

namespace usetl::image {
namespace {

bool IsTokenChar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool AtEnd() const { return text_.empty(); }
  void SkipBlanks() { Skip(" \t"); }
  void SkipSeparators() { Skip(" \t,"); }
  bool Take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  // In lower case: schemes and names of parameters are the same in either.
  std::string Token() {
    std::string token = Raw();
    for (char& c : token) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return token;
  }
  // False when a quoted string does not end.
  bool Value(std::string* value) {
    if (!Take('"')) {
      *value = Raw();
      return !value->empty();
    }
    while (!text_.empty()) {
      if (Take('"')) return true;
      Take('\\');
      if (text_.empty()) break;
      value->push_back(text_.front());
      text_.remove_prefix(1);
    }
    return false;
  }

 private:
  void Skip(std::string_view characters) {
    text_.remove_prefix(std::min(text_.find_first_not_of(characters), text_.size()));
  }
  std::string Raw() {
    const auto end = std::find_if_not(text_.begin(), text_.end(), IsTokenChar);
    const std::string raw(text_.begin(), end);
    text_.remove_prefix(raw.size());
    return raw;
  }

  std::string_view text_;
};

}  // namespace

std::vector<Challenge> ParseChallenges(std::string_view value) {
  std::vector<Challenge> challenges;
  if (value.size() > kMaxChallenge) return challenges;
  Scanner scanner(value);
  for (scanner.SkipSeparators(); !scanner.AtEnd(); scanner.SkipSeparators()) {
    const std::string name = scanner.Token();
    if (name.empty()) break;
    scanner.SkipBlanks();
    if (!scanner.Take('=')) {
      challenges.push_back({name, {}});
      continue;
    }
    scanner.SkipBlanks();
    std::string text;
    if (challenges.empty() || !scanner.Value(&text)) break;
    challenges.back().parameters.emplace(name, text);
  }
  return challenges;
}

}  // namespace usetl::image
