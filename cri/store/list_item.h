// list_item.h: records as the CRI's lists show them.
#ifndef USETL_CRI_STORE_LIST_ITEM_H_
#define USETL_CRI_STORE_LIST_ITEM_H_

#include <string>

#include "records.pb.h"

namespace usetl::cri {

namespace v1 = ::runtime::v1;

v1::PodSandbox ListItem(const SandboxRecord& record);
v1::Container ListItem(const ContainerRecord& record);

// A serialized ListPodSandboxResponse, ListContainersResponse of one item.
std::string ListOf(const SandboxRecord& record);
std::string ListOf(const ContainerRecord& record);

}  // namespace usetl::cri

#endif  // USETL_CRI_STORE_LIST_ITEM_H_
