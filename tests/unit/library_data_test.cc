#include "vmm/proxy/daemon/library_data.h"

#include <curl/curl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <regex>
#include <stdexcept>
#include <string>

namespace usetl {
namespace {

// Whether a library that keeps its data in hundreds of tables still does its work.
bool CurlWorks() {
  CURL* const handle = curl_easy_init();
  if (handle == nullptr) return false;
  curl_easy_setopt(handle, CURLOPT_URL, "file:///proc/self/comm");
  const auto drop = +[](char*, size_t size, size_t count, void*) { return size * count; };
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, drop);
  const CURLcode done = curl_easy_perform(handle);
  char* const escaped = curl_easy_escape(handle, "a b", 0);
  const bool right = done == CURLE_OK && escaped != nullptr && std::string(escaped) == "a%20b";
  curl_free(escaped);
  curl_easy_cleanup(handle);
  return right;
}

TEST(LibraryData, StaysWhatItWas) {
  ASSERT_EQ(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
  const std::string version = curl_version();
  opterr = 0;  // a variable of the C library, which is left alone
  const Status shared = ShareLibraryData();
  ASSERT_TRUE(shared.ok()) << shared.message();
  EXPECT_EQ(curl_version(), version);
  EXPECT_EQ(opterr, 0);
  EXPECT_TRUE(CurlWorks());
  EXPECT_THROW(throw std::runtime_error("thrown"), std::runtime_error);

  const pid_t child = _Fork();  // as the proxy does
  if (child == 0) _exit(CurlWorks() ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(CurlWorks());
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(LibraryData, IsMappedAsItWas) {
  ASSERT_EQ(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
  ASSERT_TRUE(ShareLibraryData().ok());
  std::ifstream file("/proc/self/maps");
  const std::string maps{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(std::regex_search(maps, std::regex(R"( r--p \S+ \S+ \S+\s+/memfd:usetl-libraries)")));
  EXPECT_TRUE(std::regex_search(maps, std::regex(R"( rw-p \S+ \S+ \S+\s+/memfd:usetl-libraries)")));
  EXPECT_FALSE(std::regex_search(maps, std::regex(R"( r?w?x\S* \S+ \S+ \S+\s+/memfd)")));
  // Of the libraries themselves nothing is writable any more but the C library's.
  EXPECT_FALSE(std::regex_search(maps, std::regex(R"( rw-p \S+ \S+ \S+\s+/\S*libcurl)")));
  EXPECT_TRUE(std::regex_search(maps, std::regex(R"( rw-p \S+ \S+ \S+\s+/\S*libc\.so)")));
}
#endif

}  // namespace
}  // namespace usetl
