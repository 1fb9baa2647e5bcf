#include "vmm/proxy/pod/mount_server.h"

#include <cerrno>

#include "vmm/proxy/pod/mount_paths.h"

namespace usetl::pod {

MountAnswer MountServer::Answer(const MountOrder& order) {
  const abi::MountChange& change = order.change;
  if (!writer_.Has(change.mount)) return MountAnswer::Error(EINVAL);
  if (!order.path.empty() && !PlainPath(order.path)) return MountAnswer::Error(EINVAL);
  if ((change.flags & abi::kMountOpened) != 0) return files_.Apply(change);
  const int root = writer_.root(change.mount);
  switch (change.op) {
    case abi::MountOp::kLook:
      return LookAtNames(root, order);
    case abi::MountOp::kList:
      return ListNames(root, order);
    case abi::MountOp::kAccess:
      return MountAnswer::Error(CheckAccess(root, order));
    case abi::MountOp::kSpace:
      return SpaceBelow(root, order);
    case abi::MountOp::kCreate:
    case abi::MountOp::kReplace:
    case abi::MountOp::kOpen:
      return files_.Open(root, order);
    case abi::MountOp::kRead:
    case abi::MountOp::kWrite:
    case abi::MountOp::kTruncate:
    case abi::MountOp::kSync:
      return files_.Apply(change);
    case abi::MountOp::kClose:
      files_.Close(change.handle);
      return MountAnswer::Error(0);
    default:
      return MountAnswer::Error(writer_.Apply(order));
  }
}

}  // namespace usetl::pod
