#include "cri/server/image_views.h"

#include <charconv>

namespace usetl::cri {

::runtime::v1::Image ViewOf(const image::Image& image) {
  ::runtime::v1::Image view;
  view.set_id(image.id);
  view.mutable_repo_tags()->Assign(image.repo_tags.begin(), image.repo_tags.end());
  view.mutable_repo_digests()->Assign(image.repo_digests.begin(), image.repo_digests.end());
  view.set_size(image.size);
  view.set_pinned(image.pinned);
  // USER[:GROUP]: kubelet's runAsNonRoot reads the number, or the name when it is none.
  const std::string user = image.config.user.substr(0, image.config.user.find(':'));
  int64_t uid = 0;
  const auto [end, error] = std::from_chars(user.data(), user.data() + user.size(), uid);
  if (!user.empty() && error == std::errc() && end == user.data() + user.size() && uid >= 0) {
    view.mutable_uid()->set_value(uid);
  } else if (!user.empty()) {
    view.set_username(user);
  } else {
    view.mutable_uid()->set_value(0);
  }
  return view;
}

}  // namespace usetl::cri
