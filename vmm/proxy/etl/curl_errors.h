// curl_errors.h: what libcurl's results are called towards the guest.
#ifndef USETL_VMM_PROXY_ETL_CURL_ERRORS_H_
#define USETL_VMM_PROXY_ETL_CURL_ERRORS_H_

#include <curl/curl.h>

#include "vmm/abi/mail.h"

namespace usetl::etl {

// `head_seen`: the answer's head had come when the transfer failed.
inline abi::HttpError ErrorOfCurl(CURLcode result, bool head_seen) {
  using abi::HttpError;
  switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return HttpError::kResolve;
    case CURLE_COULDNT_CONNECT:
      return HttpError::kConnect;
    case CURLE_OPERATION_TIMEDOUT:
      return HttpError::kTimeout;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
      return HttpError::kTls;
    case CURLE_URL_MALFORMAT:
      return HttpError::kBadRequest;
    // How libcurl reports a line of a head that grows beyond its buffer.
    case CURLE_OUT_OF_MEMORY:
      return head_seen ? HttpError::kInternal : HttpError::kTooLarge;
    case CURLE_OK:                    // complete for libcurl, yet without a head
    case CURLE_UNSUPPORTED_PROTOCOL:  // HTTP/0.9
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_PARTIAL_FILE:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return HttpError::kProtocol;
    default:
      return HttpError::kInternal;
  }
}

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_CURL_ERRORS_H_
