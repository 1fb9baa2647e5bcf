#include "cri/image/complaint.h"

#include <cstdio>

namespace usetl::image {
namespace {

int ExitStatus(const Status& status) {
  switch (status.code()) {
    case 0:
      return 0;
    case ENOENT:
      return 3;
    case EACCES:
      return 4;
    case EHOSTUNREACH:
    case ECONNREFUSED:
    case ETIMEDOUT:
      return 5;
    case EBADMSG:
      return 6;
    case ENOSPC:
      return 7;
    case ECANCELED:
      return 130;
    default:
      return 1;
  }
}

const char* RemedyOfPull(const Status& status) {
  switch (status.code()) {
    case ENOENT:
      return "; is the name right?";
    case EACCES:
      return "; is the name right? Else give --username and --password-stdin";
    case EHOSTUNREACH:
    case ECONNREFUSED:
    case ETIMEDOUT:
      return "; is the name right, and the registry up? Else take another one with --mirror";
    default:
      return "";
  }
}

}  // namespace

int Complain(const Status& status, const std::string& verb) {
  const char* remedy = "";
  if (verb == "pull") remedy = RemedyOfPull(status);
  if (verb == "bake" && status.code() == ENOENT) {
    remedy = ", and no file is called so; usetl image ls lists images";
  }
  if ((verb == "ls" || verb == "rm") && status.code() == ENOENT) {
    remedy = "; usetl image ls lists those that there are";
  }
  if (status.code() == ENOSPC) remedy = "; usetl image rm and gc make room";
  std::fprintf(stderr, "usetl: %s%s\n", status.message().c_str(), remedy);
  return ExitStatus(status);
}

}  // namespace usetl::image
