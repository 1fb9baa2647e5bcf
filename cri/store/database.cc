#include "cri/store/database.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace usetl::cri {
namespace {

// Each brings the schema from its index to the next version; user_version counts them.
constexpr const char* kMigrations[] = {
    "CREATE TABLE record (kind INTEGER NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL,"
    " PRIMARY KEY (kind, id)) WITHOUT ROWID",
};
constexpr char kAdvice[] =
    "stop all pods, move the file away and start the node again: usetl up --cri";

}  // namespace

Database::Migrations Database::AllMigrations() { return kMigrations; }

Status Database::Error(const std::string& what) const {
  const int code = sqlite3_errcode(db_);
  const std::string text = what + " " + path_ + ": " + sqlite3_errmsg(db_);
  if (code == SQLITE_FULL) return Status(ENOSPC, text);
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
    return Status(EBADMSG, text + "; " + kAdvice);
  }
  return Status(EIO, text);
}

// Under another name first: a file at `path` has had a schema ever since, and one without is
// damaged.
Status Database::Create(const std::string& path, Migrations migrations) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0) return Status();
  if (errno != ENOENT) return Status::Errno("look for " + path);
  const std::string temporary = path + ".new";
  // A log of writes belongs to a file that was moved away, too.
  for (const std::string& name : {temporary, temporary + "-journal", path + "-wal"}) {
    if (unlink(name.c_str()) != 0 && errno != ENOENT) return Status::Errno("remove " + name);
  }
  Database made(migrations);
  made.path_ = temporary;
  USETL_RETURN_IF_ERROR(made.Connect(SQLITE_OPEN_CREATE));
  USETL_RETURN_IF_ERROR(made.Migrate());
  if (rename(temporary.c_str(), path.c_str()) == 0) return Status();
  return Status::Errno("rename " + temporary);
}

Status Database::Connect(int more_flags) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | more_flags;
  return sqlite3_open_v2(path_.c_str(), &db_, flags, nullptr) == SQLITE_OK ? Status()
                                                                           : Error("open");
}

Result<std::unique_ptr<Database>> Database::Open(const std::string& path, Migrations migrations) {
  USETL_RETURN_IF_ERROR(Create(path, migrations));
  std::unique_ptr<Database> database(new Database(migrations));
  database->path_ = path;
  USETL_RETURN_IF_ERROR(database->Connect(0));
  // Another usetld that is just ending may still hold the file.
  sqlite3_busy_timeout(database->db_, 5000);
  // Before anything writes to it.
  const Result<int> version = database->Version();
  if (!version.ok()) return version.status();
  if (*version == 0) return Status(EBADMSG, path + " is empty; " + kAdvice);
  for (const char* pragma : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL",
                             "PRAGMA locking_mode = EXCLUSIVE"}) {
    USETL_RETURN_IF_ERROR(database->Execute(pragma));
  }
  USETL_RETURN_IF_ERROR(database->Check());
  USETL_RETURN_IF_ERROR(database->Migrate());
  USETL_RETURN_IF_ERROR(database->Prepare());
  return database;
}

Database::~Database() {
  for (sqlite3_stmt* statement : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

Status Database::Execute(const std::string& sql) {
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return Status();
  return Error("use");
}

// What is damaged is a row of the answer, not an error.
Status Database::Check() {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db_, "PRAGMA quick_check(1)", -1, &statement, nullptr) != SQLITE_OK) {
    return Error("check");
  }
  std::string found;
  if (sqlite3_step(statement) == SQLITE_ROW) {
    found = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  }
  const Status failed = found.empty() ? Error("check") : Status();
  sqlite3_finalize(statement);
  if (found == "ok" || !failed.ok()) return failed;
  const std::string last_line = found.substr(found.rfind('\n') + 1);
  return Status(EBADMSG, path_ + " is damaged: " + last_line + "; " + kAdvice);
}

Result<int> Database::Version() {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db_, "PRAGMA user_version", -1, &statement, nullptr) != SQLITE_OK) {
    return Error("read");
  }
  const bool row = sqlite3_step(statement) == SQLITE_ROW;
  const int version = row ? sqlite3_column_int(statement, 0) : -1;
  sqlite3_finalize(statement);
  if (!row) return Error("read the version of");
  return version;
}

Status Database::Migrate() {
  const Result<int> found = Version();
  if (!found.ok()) return found.status();
  const int version = *found, newest = static_cast<int>(migrations_.size());
  if (version > newest) {
    return Status(EPROTO, path_ + " was written by a newer usetld (version " +
                              std::to_string(version) + "); install that one");
  }
  if (version == newest) return Status();
  std::string all = "BEGIN; ";
  for (const char* migration : migrations_.subspan(version)) all += std::string(migration) + "; ";
  return Execute(all + "PRAGMA user_version = " + std::to_string(newest) + "; COMMIT");
}

Status Database::Prepare() {
  constexpr const char* kSql[kStatements] = {
      "INSERT OR REPLACE INTO record (kind, id, value) VALUES (?, ?, ?)",
      "DELETE FROM record WHERE kind = ? AND id = ?",
      "SELECT id, value FROM record WHERE kind = ?",
  };
  for (int i = 0; i < kStatements; ++i) {
    if (sqlite3_prepare_v3(db_, kSql[i], -1, SQLITE_PREPARE_PERSISTENT, &statements_[i], nullptr) !=
        SQLITE_OK) {
      return Error("prepare");
    }
  }
  return Status();
}

Status Database::Finish(sqlite3_stmt* statement, int result) {
  const Status status = result == SQLITE_DONE ? Status() : Error("write");
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  return status;
}

Status Database::Put(Kind kind, const std::string& id, std::string_view record) {
  const std::lock_guard lock(mutex_);
  sqlite3_stmt* put = statements_[kPut];
  sqlite3_bind_int(put, 1, static_cast<int>(kind));
  sqlite3_bind_text(put, 2, id.data(), static_cast<int>(id.size()), SQLITE_STATIC);
  sqlite3_bind_blob(put, 3, record.data(), static_cast<int>(record.size()), SQLITE_STATIC);
  return Finish(put, sqlite3_step(put));
}

Status Database::Remove(Kind kind, const std::string& id) {
  const std::lock_guard lock(mutex_);
  sqlite3_stmt* remove = statements_[kRemove];
  sqlite3_bind_int(remove, 1, static_cast<int>(kind));
  sqlite3_bind_text(remove, 2, id.data(), static_cast<int>(id.size()), SQLITE_STATIC);
  return Finish(remove, sqlite3_step(remove));
}

Status Database::ForEach(
    Kind kind, const std::function<Status(const std::string& id, std::string_view record)>& use) {
  const std::lock_guard lock(mutex_);
  sqlite3_stmt* list = statements_[kList];
  sqlite3_bind_int(list, 1, static_cast<int>(kind));
  int result;
  Status used;
  while (used.ok() && (result = sqlite3_step(list)) == SQLITE_ROW) {
    const auto* id = reinterpret_cast<const char*>(sqlite3_column_text(list, 0));
    const auto* value = static_cast<const char*>(sqlite3_column_blob(list, 1));
    const int size = sqlite3_column_bytes(list, 1);
    used = use(id, {value, static_cast<size_t>(size)});
  }
  const Status status = Finish(list, used.ok() ? result : SQLITE_DONE);
  return used.ok() ? status : used;
}

}  // namespace usetl::cri
