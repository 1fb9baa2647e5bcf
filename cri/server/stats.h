// stats.h: usage as the messages that clients see.
#ifndef USETL_CRI_SERVER_STATS_H_
#define USETL_CRI_SERVER_STATS_H_

#include "cri/server/node.h"

namespace usetl::cri {

namespace v1 = ::runtime::v1;

v1::ContainerStats StatsOf(Node* node, const ContainerRecord& record);
v1::PodSandboxStats StatsOf(Node* node, const std::shared_ptr<const SandboxRecord>& record);

// What a filter lets through; of containers those that were started.
std::vector<v1::ContainerStats> SelectStats(Node* node, const v1::ContainerStatsFilter& filter);
std::vector<v1::PodSandboxStats> SelectStats(Node* node, const v1::PodSandboxStatsFilter& filter);

}  // namespace usetl::cri

#endif  // USETL_CRI_SERVER_STATS_H_
