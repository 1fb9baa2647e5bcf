// The image store: names, leases, collection, several processes.
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <utime.h>

#include <thread>

#include "cri/image/partial_blob.h"
#include "image_fixture.h"
#include "vmm/pack/pack_reader.h"

namespace usetl::image {
namespace {

const std::string kTar = Tar({{"a", "one"}});
const std::string kOther = Tar({{"b", "two"}});

TEST_F(ImageTest, ImportFindRemove) {
  const auto store = OpenStore();
  Progress last;
  const auto ids = store->Import(Layout("team/app:1", {kTar, kOther}), "",
                                 [&](const Progress& p) { last = p; }, {});
  ASSERT_TRUE(ids.ok()) << ids.status().message();
  EXPECT_EQ(last.layers_done, 2u);
  EXPECT_EQ(last.bytes_done, kTar.size() + kOther.size());
  EXPECT_EQ(last.bytes, last.bytes_done);
  const Result<ImagePtr> image = store->Find("team/app:1");
  ASSERT_TRUE(image.ok());
  EXPECT_EQ((*image)->id, ids->front());
  EXPECT_EQ((*image)->repo_tags, std::vector<std::string>{"docker.io/team/app:1"});
  EXPECT_EQ((*image)->packs, (std::vector<std::string>{PackOf(kTar), PackOf(kOther)}));
  EXPECT_GT((*image)->size, kTar.size() + kOther.size());
  EXPECT_FALSE((*image)->pinned);
  EXPECT_TRUE(store->Find((*image)->repo_digests.front()).ok());
  const auto pack = pack::OpenPack((*image)->packs[0], true);
  ASSERT_TRUE(pack.ok());
  EXPECT_NE(pack->Find("a"), nullptr);
  const Result<FsUsage> usage = store->FsInfo();
  ASSERT_TRUE(usage.ok());
  EXPECT_GT(usage->bytes, kTar.size());
  EXPECT_GE(usage->inodes, 15u);
  EXPECT_EQ(usage->mountpoint, store_path_);

  EXPECT_TRUE(store->Remove("team/app:1").ok());
  EXPECT_EQ(store->Find("team/app:1").status().code(), ENOENT);
  EXPECT_TRUE(store->Remove("team/app:1").ok());  // is gone already
  EXPECT_EQ(Count("packs"), 0u);
  EXPECT_EQ(Count("blobs/sha256"), 0u);
}

TEST_F(ImageTest, OnlyTheEndOfAnIdIsMissing) {
  const auto store = OpenStore();
  const std::string id = Import(store.get(), Layout("a:1", {kTar}));
  EXPECT_EQ((*store->Find(id))->id, id);
  EXPECT_EQ((*store->Find(id.substr(7)))->id, id);
  EXPECT_EQ((*store->Find(id.substr(7, 6)))->id, id);
  EXPECT_EQ((*store->Find(id.substr(0, 13)))->id, id);
  EXPECT_EQ(store->Find(id.substr(7, 5)).status().code(), ENOENT);
  EXPECT_EQ(store->Find("").status().code(), ENOENT);
  EXPECT_EQ(store->Find("sha256:").status().code(), ENOENT);

  ImageList twins;
  for (const char* end : {"0", "1"}) {
    auto image = std::make_shared<Image>();
    image->id = "sha256:" + std::string(63, 'c') + end;
    twins.images.push_back(image);
  }
  EXPECT_EQ(twins.Find("cccccc").status().code(), EINVAL);
  EXPECT_TRUE(twins.Find(std::string(63, 'c') + "1").ok());
}

TEST_F(ImageTest, PinnedByAnyOfItsNames) {
  const auto store = OpenStore({.pinned = {"pause:3"}});
  Import(store.get(), Layout("docker.io/library/pause:3", {kTar}));
  EXPECT_TRUE((*store->Find("pause:3"))->pinned);
}

TEST_F(ImageTest, LeaseOutlivesRemoval) {
  const auto store = OpenStore();
  Import(store.get(), Layout("a:1", {kTar}));
  {
    const Result<ImageLease> lease = store->Lease("a:1");
    ASSERT_TRUE(lease.ok());
    ASSERT_TRUE(store->Remove("a:1").ok());
    EXPECT_EQ(store->Find("a:1").status().code(), ENOENT);
    EXPECT_EQ(store->Lease("a:1").status().code(), ENOENT);
    EXPECT_TRUE(pack::OpenPack(lease->image().packs[0], true).ok());
    ASSERT_TRUE(store->CollectGarbage().ok());
    EXPECT_TRUE(fs::exists(PackOf(kTar)));
  }
  const Result<CollectReport> report = store->CollectGarbage();
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->files, 5u);  // manifest, config, layer, pack, its diff id
  EXPECT_FALSE(fs::exists(PackOf(kTar)));
  EXPECT_EQ(Count("leases"), 0u);
}

TEST_F(ImageTest, LayersAreShared) {
  const auto store = OpenStore();
  Import(store.get(), Layout("a:1", {kTar}));
  const auto before = fs::last_write_time(PackOf(kTar));
  Import(store.get(), Layout("a:2", {kTar, kOther}));
  EXPECT_EQ(fs::last_write_time(PackOf(kTar)), before);
  ASSERT_TRUE(store->Remove("a:2").ok());
  EXPECT_TRUE(fs::exists(PackOf(kTar)));
  EXPECT_FALSE(fs::exists(PackOf(kOther)));
}

TEST_F(ImageTest, ASharedLayerIsCheckedForEachImage) {
  const auto store = OpenStore();
  Import(store.get(), Layout("a:1", {kTar}));
  const auto lie = store->Import(Layout("a:2", {kTar}, "", {DigestOf("x")}), "", {}, {});
  EXPECT_EQ(lie.status().code(), EBADMSG);
  EXPECT_EQ((*store->List())->images.size(), 1u);
}

TEST_F(ImageTest, APackThatCannotBeReadIsMadeAnew) {
  const auto store = OpenStore();
  const std::string layout = Layout("a:1", {kTar});
  Import(store.get(), layout);
  fs::remove(PackOf(kTar));
  std::ofstream(PackOf(kTar)) << "of an older version";
  Import(store.get(), layout);
  EXPECT_TRUE(pack::OpenPack(PackOf(kTar), true).ok());
  fs::remove(PackOf(kTar));
  EXPECT_TRUE(store->Lease("a:1").ok());
  EXPECT_TRUE(pack::OpenPack(PackOf(kTar), true).ok());
}

TEST_F(ImageTest, ANameMoves) {
  const auto store = OpenStore();
  const std::string first = Import(store.get(), Layout("a:1", {kTar}, "first"));
  const std::string second = Import(store.get(), Layout("a:1", {kTar}, "second"));
  EXPECT_EQ((*store->Find("a:1"))->id, second);
  EXPECT_TRUE((*store->Find(first))->repo_tags.empty());
  EXPECT_EQ((*store->Find(first))->repo_digests.size(), 1u);
}

TEST_F(ImageTest, NameOfAnotherImageIsRefused) {
  const auto store = OpenStore();
  const std::string name = "a@" + DigestOf("something else");
  EXPECT_EQ(store->Import(Layout(name, {kTar}), "", {}, {}).status().code(), EBADMSG);
}

TEST_F(ImageTest, Cancelled) {
  const auto store = OpenStore();
  const auto ids = store->Import(Layout("a:1", {kTar}), "", {}, [] { return true; });
  EXPECT_EQ(ids.status().code(), ECANCELED);
  EXPECT_EQ(Count("leases"), 0u);
}

TEST_F(ImageTest, OldIngestIsCollectedUnlessInUse) {
  const auto store = OpenStore();
  const auto make = [&](const char* name, time_t age) {
    const std::string path = store_path_ / "ingest" / name;
    std::ofstream(path) << "part";
    const utimbuf times = {time(nullptr) - age, time(nullptr) - age};
    EXPECT_EQ(utime(path.c_str(), &times), 0);
    return path;
  };
  const std::string old = make("old", 2 * 86400), fresh = make("fresh", 60),
                    used = make("used", 2 * 86400);
  const Result<Fd> lock = LockFile(used, {});
  ASSERT_TRUE(lock.ok());
  ASSERT_TRUE(store->CollectGarbage().ok());
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(fresh));
  EXPECT_TRUE(fs::exists(used));
}

TEST_F(ImageTest, DamagedIndexIsNeverReset) {
  auto store = OpenStore();
  Import(store.get(), Layout("a:1", {kTar}));
  const fs::path index = store_path_ / "index.json";
  for (const char* text : {"", "{", "[]", R"({"manifests":[{"digest":"x"}]})",
                           R"({"manifests":[{"digest":"sha256:0","size":1}]})"}) {
    fs::remove(index);
    std::ofstream(index) << text;
    EXPECT_EQ(store->List().status().code(), EBADMSG) << text;
    EXPECT_EQ(store->Remove("a:1").code(), EBADMSG);
    EXPECT_EQ(store->CollectGarbage().status().code(), EBADMSG);
    EXPECT_EQ(ImageStore::Open(store_path_, {}).status().code(), EBADMSG);
    EXPECT_TRUE(fs::exists(PackOf(kTar)));
    std::ifstream read(index);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(read), {}), text);
  }
}

TEST_F(ImageTest, OnlyOneWritesABlob) {
  const auto content = ContentStore::Open(store_path_);
  ASSERT_TRUE(content.ok());
  const Descriptor blob = {kOciLayer, DigestOf("content"), 7};
  Result<PartialBlob> first = PartialBlob::Begin(**content, blob, {});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->Append("too much text").code(), EBADMSG);
  ASSERT_TRUE(first->Append("con").ok());
  EXPECT_EQ(PartialBlob::Begin(**content, blob, [] { return true; }).status().code(), ECANCELED);
  bool second_done = false;
  std::thread second([&] {
    const Result<PartialBlob> waited = PartialBlob::Begin(**content, blob, {});
    second_done = waited.ok() && waited->done();
  });
  ASSERT_TRUE(first->Append("tent").ok());
  EXPECT_TRUE(first->Commit().ok());
  first = Status(ECANCELED, "lets the other go on");
  second.join();
  EXPECT_TRUE(second_done);
  EXPECT_EQ(Count("ingest"), 0u);
}

TEST_F(ImageTest, WhatIsWrongIsNotKept) {
  const auto content = ContentStore::Open(store_path_);
  ASSERT_TRUE(content.ok());
  Result<PartialBlob> blob = PartialBlob::Begin(**content, {kOciLayer, DigestOf("content"), 7}, {});
  ASSERT_TRUE(blob.ok());
  ASSERT_TRUE(blob->Append("conTent").ok());
  EXPECT_EQ(blob->Commit().code(), EBADMSG);
  EXPECT_EQ(blob->size(), 0u);
  ASSERT_TRUE(blob->Append("content").ok());
  EXPECT_TRUE(blob->Commit().ok());
}

// Runs `body` in another process, which must return true.
pid_t Fork(const std::function<bool()>& body) {
  const pid_t pid = fork();
  if (pid == 0) _exit(body() ? 0 : 1);
  return pid;
}
int Wait(pid_t pid) {
  int status = -1;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return status;
}

TEST_F(ImageTest, ManyProcessesImportAtOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    const std::string layout = Layout("a:" + std::to_string(i), {kTar}, std::to_string(i));
    children.push_back(Fork([&] {
      const auto store = ImageStore::Open(store_path_, {});
      return store.ok() && (*store)->Import(layout, "", {}, {}).ok();
    }));
  }
  for (pid_t child : children) EXPECT_EQ(Wait(child), 0);
  const auto store = OpenStore();
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(store->Find("a:" + std::to_string(i)).ok()) << i;
  EXPECT_EQ(Count("packs"), 2u);
  EXPECT_EQ(Count("leases"), 0u);
}

TEST_F(ImageTest, ChangesOfOtherProcessesAreSeen) {
  const auto store = OpenStore();
  EXPECT_TRUE((*store->List())->images.empty());
  const std::string layout = Layout("a:1", {kTar});
  EXPECT_EQ(Wait(Fork([&] {
              const auto other = ImageStore::Open(store_path_, {});
              return other.ok() && (*other)->Import(layout, "", {}, {}).ok();
            })),
            0);
  EXPECT_TRUE(store->Find("a:1").ok());
  const auto list = *store->List();
  EXPECT_EQ(*store->List(), list);  // nothing changed: nothing is read
  EXPECT_EQ(Wait(Fork([&] {
              const auto other = ImageStore::Open(store_path_, {});
              return other.ok() && (*other)->Remove("a:1").ok();
            })),
            0);
  EXPECT_TRUE((*store->List())->images.empty());
}

TEST_F(ImageTest, ALeaseEndsWithItsProcess) {
  const auto store = OpenStore();
  Import(store.get(), Layout("a:1", {kTar}));
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = Fork([&] {
    const auto other = ImageStore::Open(store_path_, {});
    const Result<ImageLease> lease = (*other)->Lease("a:1");
    if (!lease.ok() || write(ends[1], "x", 1) != 1) return false;
    pause();
    return true;
  });
  char byte;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);
  EXPECT_TRUE(store->Remove("a:1").ok());
  EXPECT_TRUE(fs::exists(PackOf(kTar)));
  kill(child, SIGKILL);
  EXPECT_TRUE(WIFSIGNALED(Wait(child)));
  EXPECT_TRUE(store->CollectGarbage().ok());
  EXPECT_FALSE(fs::exists(PackOf(kTar)));
  EXPECT_EQ(Count("leases"), 0u);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace usetl::image
