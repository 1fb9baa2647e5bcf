#include "cri/store/list_item.h"

namespace usetl::cri {

v1::PodSandbox ListItem(const SandboxRecord& record) {
  v1::PodSandbox item;
  item.set_id(record.id());
  *item.mutable_metadata() = record.config().metadata();
  item.set_state(record.state());
  item.set_created_at(record.created_at());
  *item.mutable_labels() = record.config().labels();
  *item.mutable_annotations() = record.config().annotations();
  item.set_runtime_handler(record.runtime_handler());
  return item;
}

v1::Container ListItem(const ContainerRecord& record) {
  v1::Container item;
  item.set_id(record.id());
  item.set_pod_sandbox_id(record.sandbox_id());
  *item.mutable_metadata() = record.config().metadata();
  *item.mutable_image() = record.config().image();
  item.set_image_ref(record.image_ref());
  item.set_image_id(record.image_id());
  item.set_state(record.state());
  item.set_created_at(record.created_at());
  *item.mutable_labels() = record.config().labels();
  *item.mutable_annotations() = record.config().annotations();
  return item;
}

std::string ListOf(const SandboxRecord& record) {
  v1::ListPodSandboxResponse list;
  *list.add_items() = ListItem(record);
  return list.SerializeAsString();
}

std::string ListOf(const ContainerRecord& record) {
  v1::ListContainersResponse list;
  *list.add_containers() = ListItem(record);
  return list.SerializeAsString();
}

}  // namespace usetl::cri
