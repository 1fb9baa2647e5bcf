#include "cri/store/store.h"

#include <sys/random.h>
#include <time.h>

namespace usetl::cri {

Result<std::unique_ptr<Store>> Store::Open(const std::string& path) {
  Result<std::unique_ptr<Database>> database = Database::Open(path);
  if (!database.ok()) return database.status();
  std::unique_ptr<Store> store(new Store(std::move(*database)));
  USETL_RETURN_IF_ERROR(store->Load(Database::Kind::kSandbox, &store->sandboxes_));
  USETL_RETURN_IF_ERROR(store->Load(Database::Kind::kContainer, &store->containers_));
  return store;
}

template <typename Record>
Status Store::Load(Database::Kind kind, Table<Record>* table) {
  return database_->ForEach(kind, [&](const std::string& id, std::string_view bytes) -> Status {
    Record record;
    if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || record.id() != id) {
      return Status(EBADMSG, "the record of " + id +
                                 " in the database is damaged; stop all pods, move the database "
                                 "away and start the node again: usetl up --cri");
    }
    if constexpr (std::is_same_v<Record, SandboxRecord>) {
      if (record.created_at() == 0) {
        unfinished_.push_back(std::move(record));
        return Status();
      }
    }
    last_timestamp_ = std::max<int64_t>(last_timestamp_, record.created_at());
    auto entry = std::make_shared<Entry<Record>>();
    entry->Set(std::make_shared<const Stored<Record>>(std::move(record)));
    table->emplace(id, std::move(entry));
    return Status();
  });
}

template <typename Record>
std::shared_ptr<Entry<Record>> Store::Find(const Table<Record>& table, std::string_view id) {
  if (id.empty()) return nullptr;
  const auto first = table.lower_bound(id);
  if (first == table.end() || !first->first.starts_with(id)) return nullptr;
  const bool exact = first->first.size() == id.size();
  const auto next = std::next(first);
  const bool ambiguous = !exact && next != table.end() && next->first.starts_with(id);
  return ambiguous ? nullptr : first->second;
}

std::shared_ptr<Sandbox> Store::FindSandbox(std::string_view id) const {
  const std::shared_lock lock(mutex_);
  return Find(sandboxes_, id);
}

std::shared_ptr<Container> Store::FindContainer(std::string_view id) const {
  const std::shared_lock lock(mutex_);
  return Find(containers_, id);
}

template <typename Record>
std::vector<std::shared_ptr<const Stored<Record>>> Store::All(const Table<Record>& table) const {
  const std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<const Stored<Record>>> all;
  all.reserve(table.size());
  for (const auto& [id, entry] : table) all.push_back(entry->GetStored());
  return all;
}

std::vector<std::shared_ptr<const Stored<SandboxRecord>>> Store::StoredSandboxes() const {
  return All(sandboxes_);
}

std::vector<std::shared_ptr<const Stored<ContainerRecord>>> Store::StoredContainers() const {
  return All(containers_);
}

std::vector<std::shared_ptr<const SandboxRecord>> Store::Sandboxes() const {
  std::vector<std::shared_ptr<const SandboxRecord>> all;
  for (const auto& stored : All(sandboxes_)) all.emplace_back(stored, &stored->record);
  return all;
}

std::vector<std::shared_ptr<const ContainerRecord>> Store::Containers() const {
  std::vector<std::shared_ptr<const ContainerRecord>> all;
  for (const auto& stored : All(containers_)) all.emplace_back(stored, &stored->record);
  return all;
}

std::vector<std::shared_ptr<Container>> Store::ContainersOf(const std::string& sandbox_id) const {
  const std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<Container>> all;
  for (const auto& [id, entry] : containers_) {
    if (entry->Get()->sandbox_id() == sandbox_id) all.push_back(entry);
  }
  return all;
}

size_t Store::CountWaiting(const std::set<std::string>& others) const {
  const std::shared_lock lock(mutex_);
  size_t count = 0;
  for (const auto& [id, entry] : containers_) {
    const auto record = entry->Get();
    if (record->state() != runtime::v1::CONTAINER_CREATED || entry->starting) continue;
    if (others.contains(id)) continue;
    const auto pod = sandboxes_.find(record->sandbox_id());
    count += pod != sandboxes_.end() && pod->second->Get()->state() == runtime::v1::SANDBOX_READY;
  }
  return count;
}

template <typename Record>
void Store::Keep(Table<Record>* table, Record record) {
  auto stored = std::make_shared<const Stored<Record>>(std::move(record));
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Entry<Record>>& entry = (*table)[stored->record.id()];
  if (entry == nullptr) entry = std::make_shared<Entry<Record>>();
  entry->Set(std::move(stored));
}

template <typename Record>
Status Store::Write(Database::Kind kind, Table<Record>* table, Record record) {
  std::string bytes;
  if (!record.SerializeToString(&bytes)) {
    return Status(E2BIG, "the record of " + record.id() + " is too large");
  }
  USETL_RETURN_IF_ERROR(database_->Put(kind, record.id(), bytes));
  Keep(table, std::move(record));
  return Status();
}

template <typename Record>
Status Store::Update(Database::Kind kind, Table<Record>* table, Record record) {
  {
    const std::shared_lock lock(mutex_);
    if (!table->contains(record.id())) return Status(ENOENT, record.id() + " was removed");
  }
  return Write(kind, table, std::move(record));
}

Status Store::Plan(const SandboxRecord& record) {
  std::string bytes;
  if (!record.SerializeToString(&bytes)) {
    return Status(E2BIG, "the record of " + record.id() + " is too large");
  }
  return database_->Put(Database::Kind::kSandbox, record.id(), bytes);
}

Status Store::Forget(const std::string& id) {
  return database_->Remove(Database::Kind::kSandbox, id);
}

Status Store::Add(SandboxRecord record) {
  return Write(Database::Kind::kSandbox, &sandboxes_, std::move(record));
}

Status Store::Add(ContainerRecord record) {
  return Write(Database::Kind::kContainer, &containers_, std::move(record));
}

Status Store::Update(SandboxRecord record) {
  return Update(Database::Kind::kSandbox, &sandboxes_, std::move(record));
}

Status Store::Update(ContainerRecord record) {
  return Update(Database::Kind::kContainer, &containers_, std::move(record));
}

Status Store::RemoveSandbox(const std::string& id) {
  USETL_RETURN_IF_ERROR(database_->Remove(Database::Kind::kSandbox, id));
  const std::lock_guard lock(mutex_);
  sandboxes_.erase(id);
  return Status();
}

Status Store::RemoveContainer(const std::string& id) {
  USETL_RETURN_IF_ERROR(database_->Remove(Database::Kind::kContainer, id));
  const std::lock_guard lock(mutex_);
  containers_.erase(id);
  return Status();
}

int64_t Store::NextTimestamp() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const int64_t wanted = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  int64_t last = last_timestamp_.load();
  int64_t next;
  do {
    next = std::max(wanted, last + 1);
  } while (!last_timestamp_.compare_exchange_weak(last, next));
  return next;
}

Result<std::string> NewId() {
  uint8_t bytes[32];
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return Status::Errno("getrandom");
  std::string id;
  for (const uint8_t byte : bytes) {
    id += "0123456789abcdef"[byte >> 4];
    id += "0123456789abcdef"[byte & 15];
  }
  return id;
}

}  // namespace usetl::cri
