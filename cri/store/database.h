// database.h: records on disk (SQLite), so that usetld may be killed at any moment.
//
// What is written survives the end of the process; it need not survive a crash of the machine,
// after which no pod is left. Hence no fsync on the path of a call (WAL, synchronous = NORMAL).
#ifndef USETL_CRI_STORE_DATABASE_H_
#define USETL_CRI_STORE_DATABASE_H_

#include <functional>
#include <memory>
#include <mutex>
#include <span>
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

  // SQL that brings the schema from each version to the next, beginning at none.
  using Migrations = std::span<const char* const>;
  // Those that there have been.
  static Migrations AllMigrations();

  // Opens or creates it; one of an older version is brought to the newest, wholly or not at all. A
  // damaged file or one of a newer version is an error that says what to do: state is never
  // silently reset.
  static Result<std::unique_ptr<Database>> Open(const std::string& path,
                                                Migrations migrations = AllMigrations());
  ~Database();

  Status Put(Kind kind, const std::string& id, std::string_view record);
  Status Remove(Kind kind, const std::string& id);
  Status ForEach(Kind kind,
                 const std::function<Status(const std::string& id, std::string_view record)>& use);

 private:
  enum Statement { kPut, kRemove, kList, kStatements };

  explicit Database(Migrations migrations) : migrations_(migrations) {}
  static Status Create(const std::string& path, Migrations migrations);
  Status Connect(int more_flags);
  Result<int> Version();  // of the schema; 0: there is none
  Status Check();         // whether it is sound
  Status Migrate();
  Status Prepare();
  Status Execute(const std::string& sql);
  Status Error(const std::string& what) const;
  Status Finish(sqlite3_stmt* statement, int result);

  const Migrations migrations_;
  std::mutex mutex_;
  std::string path_;
  sqlite3* db_ = nullptr;
  sqlite3_stmt* statements_[kStatements] = {};
};

}  // namespace usetl::cri

#endif  // USETL_CRI_STORE_DATABASE_H_
