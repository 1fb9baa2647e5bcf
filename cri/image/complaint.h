// complaint.h: what `usetl image` says and ends with when it fails.
#ifndef USETL_CRI_IMAGE_COMPLAINT_H_
#define USETL_CRI_IMAGE_COMPLAINT_H_

#include <string>

#include "vmm/base/status.h"

namespace usetl::image {

// The cause and what to do, as a line on stderr; the exit status, for scripts: what kind of failure
// it was. `verb`: what was asked for, as "pull".
int Complain(const Status& status, const std::string& verb = "");

}  // namespace usetl::image

#endif  // USETL_CRI_IMAGE_COMPLAINT_H_
