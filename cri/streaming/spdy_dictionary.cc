#include "cri/streaming/big_endian.h"
#include "cri/streaming/spdy_headers.h"

namespace usetl::cri::streaming {
namespace {

// Each with its length before it, then kTail as it is.
constexpr std::string_view kWords =
    "options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|"
    "accept-language|accept-ranges|age|allow|authorization|cache-control|connection|"
    "content-base|content-encoding|content-language|content-length|content-location|"
    "content-md5|content-range|content-type|date|etag|expect|expires|from|host|if-match|"
    "if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|location|"
    "max-forwards|pragma|proxy-authenticate|proxy-authorization|range|referer|retry-after|"
    "server|te|trailer|transfer-encoding|upgrade|user-agent|vary|via|warning|"
    "www-authenticate|method|get|status|200 OK|version|HTTP/1.1|url|public|set-cookie|"
    "keep-alive|origin|";
constexpr std::string_view kTail =
    "10010120120220520630030230330430530630740240540640740840941041141241341441541641750250"
    "4505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Reques"
    "t401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemente"
    "d503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon,"
    " Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,appl"
    "ication/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip"
    ",deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

std::string Make() {
  std::string dictionary;
  for (std::string_view rest = kWords; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find('|'));
    AppendBigEndian32(&dictionary, static_cast<uint32_t>(word.size()));
    dictionary += word;
    rest.remove_prefix(word.size() + 1);
  }
  return dictionary.append(kTail);
}

}  // namespace

const std::string& SpdyDictionary() {
  static const std::string dictionary = Make();
  return dictionary;
}

}  // namespace usetl::cri::streaming
