#include "cri/streaming/reports.h"

#include <nlohmann/json.hpp>

namespace usetl::cri::streaming {
namespace {

constexpr size_t kMaxMessage = 2048;  // of a cause, in bytes

std::string Dump(const nlohmann::json& status) {
  return status.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string ExitReport(int code) {
  const nlohmann::json no_metadata = nlohmann::json::object();
  if (code == 0) return Dump({{"metadata", no_metadata}, {"status", "Success"}});
  const std::string text = std::to_string(code);
  return Dump({{"metadata", no_metadata},
               {"status", "Failure"},
               {"reason", "NonZeroExitCode"},
               {"message", "command terminated with non-zero exit code: " + text},
               {"details", {{"causes", {{{"reason", "ExitCode"}, {"message", text}}}}}}});
}

std::string FailureReport(const Status& status) {
  const std::string text = status.message().substr(0, kMaxMessage);
  return Dump({{"metadata", nlohmann::json::object()},
               {"status", "Failure"},
               {"reason", "InternalError"},
               {"message", "Internal error occurred: " + text},
               {"details", {{"causes", {{{"message", text}}}}}},
               {"code", 500}});
}

}  // namespace usetl::cri::streaming
