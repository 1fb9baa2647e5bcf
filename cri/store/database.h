// database.h: records on disk (SQLite), so that usetld may be killed at any moment.
//
// What is written survives the end of the process; it need not survive a crash of the machine,
// after which no pod is left. Hence no fsync on the path of a call (WAL, synchronous = NORMAL).
#ifndef USETL_CRI_STORE_DATABASE_H_
#define USETL_CRI_STORE_DATABASE_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "vmm/base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace usetl::cri {

// Thread-safe.
class Database {
 public:
  enum class Kind { kSandbox, kContainer };

  // Opens or creates it. A damaged file or one of a newer version is an error that says what to do:
  // state is never silently reset.
  static Result<std::unique_ptr<Database>> Open(const std::string& path);
  ~Database();

  Status Put(Kind kind, const std::string& id, std::string_view record);
  Status Remove(Kind kind, const std::string& id);
  Status ForEach(Kind kind,
                 const std::function<Status(const std::string& id, std::string_view record)>& use);

 private:
  enum Statement { kPut, kRemove, kList, kStatements };

  Database() = default;
  static Status Create(const std::string& path);
  Status Connect(int more_flags);
  Result<int> Version();  // of the schema; 0: there is none
  Status Check();         // whether it is sound
  Status Migrate();
  Status Prepare();
  Status Execute(const std::string& sql);
  Status Error(const std::string& what) const;
  Status Finish(sqlite3_stmt* statement, int result);

  std::mutex mutex_;
  std::string path_;
  sqlite3* db_ = nullptr;
  sqlite3_stmt* statements_[kStatements] = {};
};

}  // namespace usetl::cri

#endif  // USETL_CRI_STORE_DATABASE_H_
