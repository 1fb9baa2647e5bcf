// Databases that older and newer versions of usetld have written.
#include "cri/store/database.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <array>
#include <map>

#include "cri/store/store.h"
#include "tests/unit/temporary_directory.h"

namespace usetl::cri {
namespace {

// As usetld 0.1.0 made it.
constexpr char kFirstSchema[] =
    "CREATE TABLE record (kind INTEGER NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL,"
    " PRIMARY KEY (kind, id)) WITHOUT ROWID";
constexpr std::array kChain = {kFirstSchema, "UPDATE record SET value = value || '-two'",
                               "UPDATE record SET value = value || '-three'"};
constexpr std::array kBrokenChain = {kFirstSchema, "UPDATE record SET value = 'lost'",
                                     "UPDATE no_such_table SET value = 1"};

class DatabaseTest : public testing::Test {
 protected:
  void Sql(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_free(error);
    sqlite3_close(database);
  }
  static std::string Hex(const std::string& bytes) {
    std::string text = "x'";
    for (const unsigned char byte : bytes) {
      for (const int half : {byte >> 4, byte & 15}) text += "0123456789abcdef"[half];
    }
    return text + "'";
  }
  // Containers by id.
  static std::map<std::string, std::string> Read(Database* database) {
    std::map<std::string, std::string> all;
    const auto keep = [&](const std::string& id, std::string_view record) {
      all[id] = record;
      return Status();
    };
    EXPECT_TRUE(database->ForEach(Database::Kind::kContainer, keep).ok());
    return all;
  }

  const test::TemporaryDirectory directory;
  const std::string path = directory.path() / "state.db";
};

TEST_F(DatabaseTest, RecordsOfTheFirstVersionAreRead) {
  // Fields that records had then; those since have to mean nothing when they are missing.
  SandboxRecord pod;
  pod.set_id("aa");
  pod.set_created_at(5);
  pod.set_state(runtime::v1::SANDBOX_READY);
  pod.set_cgroup("/kubepods/usetl-aa");
  pod.mutable_config()->mutable_metadata()->set_name("old");
  ContainerRecord container;
  container.set_id("bb");
  container.set_sandbox_id("aa");
  container.set_created_at(6);
  container.set_state(runtime::v1::CONTAINER_EXITED);
  container.set_exit_code(3);
  Sql(std::string(kFirstSchema) +
      "; PRAGMA user_version = 1; INSERT INTO record VALUES (0, 'aa', " +
      Hex(pod.SerializeAsString()) + "), (1, 'bb', " + Hex(container.SerializeAsString()) + ")");
  for (int i = 0; i < 2; ++i) {  // it is as good afterwards
    Result<std::unique_ptr<Store>> store = Store::Open(path);
    ASSERT_TRUE(store.ok()) << store.status().message();
    const auto read = (*store)->FindSandbox("aa");
    ASSERT_NE(read, nullptr);
    EXPECT_EQ(read->Get()->config().metadata().name(), "old");
    EXPECT_EQ(read->Get()->cgroup(), "/kubepods/usetl-aa");
    EXPECT_EQ(read->Get()->parent_cgroups_size(), 0) << "nothing that usetld would remove";
    ASSERT_EQ((*store)->ContainersOf("aa").size(), 1u);
    EXPECT_EQ((*store)->ContainersOf("aa")[0]->Get()->exit_code(), 3);
    EXPECT_TRUE((*store)->unfinished().empty());
  }
}

TEST_F(DatabaseTest, EachOlderVersionBecomesTheNewest) {
  for (size_t version = 1; version <= kChain.size(); ++version) {
    {
      const auto old = Database::Open(path, Database::Migrations(kChain).first(version));
      ASSERT_TRUE(old.ok()) << old.status().message();
      ASSERT_TRUE((*old)->Put(Database::Kind::kContainer, "a", "one").ok());
    }
    for (int i = 0; i < 2; ++i) {
      const auto now = Database::Open(path, kChain);
      ASSERT_TRUE(now.ok()) << now.status().message();
      constexpr std::array kBecomes = {"one-two-three", "one-three", "one"};
      EXPECT_EQ(Read(now->get()).at("a"), kBecomes[version - 1]) << version;
    }
    std::filesystem::remove(path);
  }
}

TEST_F(DatabaseTest, MigrationThatFailsChangesNothing) {
  {
    const auto old = Database::Open(path, Database::Migrations(kChain).first(1));
    ASSERT_TRUE(old.ok());
    ASSERT_TRUE((*old)->Put(Database::Kind::kContainer, "a", "one").ok());
  }
  for (int i = 0; i < 2; ++i) {
    const Status failed = Database::Open(path, kBrokenChain).status();
    EXPECT_EQ(failed.code(), EIO);
    EXPECT_NE(failed.message().find("no_such_table"), std::string::npos) << failed.message();
  }
  const auto old = Database::Open(path, Database::Migrations(kChain).first(1));
  ASSERT_TRUE(old.ok()) << old.status().message();
  EXPECT_EQ(Read(old->get()).at("a"), "one");
}

TEST_F(DatabaseTest, NewerVersionIsRefusedAndLeftAlone) {
  {
    const auto newer = Database::Open(path, kChain);
    ASSERT_TRUE(newer.ok());
    ASSERT_TRUE((*newer)->Put(Database::Kind::kContainer, "a", "one").ok());
  }
  const Status refused = Database::Open(path, Database::Migrations(kChain).first(2)).status();
  EXPECT_EQ(refused.code(), EPROTO);
  EXPECT_EQ(refused.message(),
            path + " was written by a newer usetld (version 3); install that one");
  const auto newer = Database::Open(path, kChain);
  ASSERT_TRUE(newer.ok());
  EXPECT_EQ(Read(newer->get()).at("a"), "one");
}

}  // namespace
}  // namespace usetl::cri
