// store.h: all pods and containers of the node, in memory, written through to the database.
//
// Records are immutable once stored: readers get a shared pointer and never wait for a verb. A verb
// that changes an entry holds its `verb` mutex from reading the record to storing the next one.
// What lists show of a record is made when it is stored: lists are asked for again and again.
#ifndef USETL_CRI_STORE_STORE_H_
#define USETL_CRI_STORE_STORE_H_

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "cri/store/database.h"
#include "cri/store/list_item.h"
#include "records.pb.h"
#include "vmm/base/status.h"

namespace usetl::cri {

template <typename Record>
struct Stored {
  explicit Stored(Record record_in) : record(std::move(record_in)), listed(ListOf(record)) {}

  const Record record;
  // The answer to a list of this record alone, serialized: such answers one behind the other are
  // the answer to a list of them all.
  const std::string listed;
};

template <typename Record>
class Entry {
 public:
  std::mutex verb;  // held by whoever changes this entry
  // Who waits for `verb` to end what runs: a start that is under way gives up for them.
  std::atomic<int> ending = 0;
  std::atomic<bool> starting = false;  // a USF was asked for

  std::shared_ptr<const Record> Get() const {
    std::shared_ptr<const Stored<Record>> held = GetStored();
    const Record* const record = &held->record;
    return {std::move(held), record};
  }
  std::shared_ptr<const Stored<Record>> GetStored() const {
    const std::lock_guard lock(mutex_);
    return stored_;
  }
  void Set(std::shared_ptr<const Stored<Record>> stored) {
    const std::lock_guard lock(mutex_);
    stored_.swap(stored);  // the last one goes when the lock is gone
  }

 private:
  // Not a std::atomic of the pointer: libstdc++ 12 ends a load of it with a relaxed store, behind
  // which the next writer is not ordered.
  mutable std::mutex mutex_;
  std::shared_ptr<const Stored<Record>> stored_;
};
using Sandbox = Entry<SandboxRecord>;
using Container = Entry<ContainerRecord>;

// Thread-safe.
class Store {
 public:
  // Opens the database and reads all of it.
  static Result<std::unique_ptr<Store>> Open(const std::string& path);

  // By id, or by a prefix that only one entry has. Null: there is none.
  std::shared_ptr<Sandbox> FindSandbox(std::string_view id) const;
  std::shared_ptr<Container> FindContainer(std::string_view id) const;
  // Sorted by id.
  std::vector<std::shared_ptr<const SandboxRecord>> Sandboxes() const;
  std::vector<std::shared_ptr<const ContainerRecord>> Containers() const;
  // The same with what lists show.
  std::vector<std::shared_ptr<const Stored<SandboxRecord>>> StoredSandboxes() const;
  std::vector<std::shared_ptr<const Stored<ContainerRecord>>> StoredContainers() const;
  // Containers of pods that are ready, created and not being started, other than `others`.
  size_t CountWaiting(const std::set<std::string>& others) const;
  std::vector<std::shared_ptr<Container>> ContainersOf(const std::string& sandbox_id) const;

  // What a pod that nobody is to see yet is going to hold. On disk only; Add() or Forget() follows.
  // REQUIRES: it has no time of creation.
  Status Plan(const SandboxRecord& record);
  Status Forget(const std::string& id);
  // Those that an earlier usetld had planned and never finished.
  const std::vector<SandboxRecord>& unfinished() const { return unfinished_; }

  // On disk first; nothing changes on an error.
  Status Add(SandboxRecord record);
  Status Add(ContainerRecord record);
  // REQUIRES: the entry's `verb` is held. ENOENT when it was removed meanwhile.
  Status Update(SandboxRecord record);
  Status Update(ContainerRecord record);
  // In memory only: for what the next usetld learns from elsewhere. REQUIRES: `verb` is held.
  void Remember(ContainerRecord record) { Keep(&containers_, std::move(record)); }
  Status RemoveSandbox(const std::string& id);
  Status RemoveContainer(const std::string& id);

  // Nanoseconds since 1970, later than any that was given out before: kubelet sorts by them.
  int64_t NextTimestamp();

 private:
  template <typename Record>
  using Table = std::map<std::string, std::shared_ptr<Entry<Record>>, std::less<>>;

  explicit Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  template <typename Record>
  std::vector<std::shared_ptr<const Stored<Record>>> All(const Table<Record>& table) const;
  template <typename Record>
  static std::shared_ptr<Entry<Record>> Find(const Table<Record>& table, std::string_view id);
  template <typename Record>
  Status Write(Database::Kind kind, Table<Record>* table, Record record);
  template <typename Record>
  void Keep(Table<Record>* table, Record record);
  template <typename Record>
  Status Update(Database::Kind kind, Table<Record>* table, Record record);
  template <typename Record>
  Status Load(Database::Kind kind, Table<Record>* table);

  std::unique_ptr<Database> database_;
  mutable std::shared_mutex mutex_;        // of the tables, not of what is in them
  std::vector<SandboxRecord> unfinished_;  // as of Open()
  Table<SandboxRecord> sandboxes_;
  Table<ContainerRecord> containers_;
  std::atomic<int64_t> last_timestamp_ = 0;
};

// 64 random hex digits.
Result<std::string> NewId();

}  // namespace usetl::cri

#endif  // USETL_CRI_STORE_STORE_H_
