// SPDX-License-Identifier: Apache-2.0
//
// Too little memory: how it is noticed before it hurts. The children here have mounts of their own,
// so no test of this binary may attach in its own process.

#include "sluice/ipc/allocate.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/own_mounts.h"

namespace {

/// What posix_fallocate(3) does in this binary, in place of the C library's.
struct Fake {
  off_t interrupted_above = std::numeric_limits<off_t>::max();  ///< EINTR for longer requests
  bool refuses = false;                                         ///< ENOSPC, and takes nothing
  int calls = 0;
};
Fake g_fake;

}  // namespace

extern "C" int posix_fallocate(int fd, off_t offset, off_t length) {
  constexpr int kFarTooMany = 10'000;
  if (++g_fake.calls > kFarTooMany || g_fake.refuses) return ENOSPC;
  if (length > g_fake.interrupted_above) return EINTR;
  return fallocate(fd, 0, offset, length) == 0 ? 0 : errno;
}

namespace sluice {
namespace {

using internal::allocate_file;
using internal::cgroup_room;
using internal::CgroupRoom;
using testing::AllOf;
using testing::HasSubstr;
using tests::ChildParty;
using tests::error_of;

constexpr SegmentKind kKind = {.name = "probe", .version = 3, .fingerprint = 0xabc};

void leave_zero(std::span<std::byte>) {}

Segment create(std::string_view name, std::size_t bytes) {
  return Segment::create(name, kKind, bytes, Lifetime::while_used, leave_zero);
}

// -------------------------------------------------------------------------------------------------
// Memory cgroups, as the kernel shows them in files

class CgroupTree : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(root_); }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void put(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = root_ + "/" + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  [[nodiscard]] std::optional<CgroupRoom> room(const std::string& membership,
                                               std::uint64_t enough = UINT64_MAX) const {
    put("membership", membership);
    return cgroup_room(root_ + "/membership", root_, enough);
  }

  const std::string root_ = testing::TempDir() + "/cgroup-" + std::to_string(getpid());
};

TEST_F(CgroupTree, Version2) {
  put("app/memory.max", "1000000\n");
  put("app/memory.current", "300000\n");
  const auto found = room("0::/app\n");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->bytes, 700'000U);
  EXPECT_EQ(found->path, root_ + "/app");
}

TEST_F(CgroupTree, Version1) {
  put("memory/a/memory.limit_in_bytes", "1000000\n");
  put("memory/a/memory.usage_in_bytes", "1000000\n");
  const auto found = room("5:cpu,cpuacct:/x\n4:freezer,memory:/a\n1:name=systemd:/y\n");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->bytes, 0U);
}

TEST_F(CgroupTree, CacheThatCanBeDroppedIsLeft) {
  put("app/memory.max", "1000000\n");
  put("app/memory.current", "900000\n");
  put("app/memory.stat", "anon 100\ninactive_file 200000\nactive_file 30000\nshmem 500000\n");
  EXPECT_EQ(room("0::/app\n")->bytes, 330'000U);
  EXPECT_EQ(room("0::/app\n", 100'000)->bytes, 100'000U) << "enough: not looked at";
  put("app/memory.stat", "inactive_file 999999999999\n");
  EXPECT_EQ(room("0::/app\n")->bytes, 1'000'000U) << "whatever the file says";
}

TEST_F(CgroupTree, AParentsLimitHoldsToo) {
  put("a/memory.max", "500000\n");
  put("a/memory.current", "450000\n");
  put("a/b/c/memory.max", "100000\n");
  put("a/b/c/memory.current", "1000\n");
  put("a/b/memory.max", "max\n");
  put("a/b/memory.current", "1000\n");
  EXPECT_EQ(room("0::/a/b/c\n")->bytes, 50'000U);
  EXPECT_EQ(room("0::/a/b/c\n")->path, root_ + "/a");
}

TEST_F(CgroupTree, ThePathOutsideOfTheContainerLeadsToItsRoot) {
  put("memory/memory.limit_in_bytes", "4096\n");
  put("memory/memory.usage_in_bytes", "96\n");
  EXPECT_EQ(room("4:memory:/docker/0123\n")->bytes, 4000U);
}

TEST_F(CgroupTree, NoLimitOrNothingToBeRead) {
  EXPECT_FALSE(room(""));
  EXPECT_FALSE(room("garbage\n:\n::\n0::/gone\n4:memory:/gone\n"));
  EXPECT_FALSE(cgroup_room(root_ + "/absent", root_));
  put("app/memory.max", "max\n");
  put("app/memory.current", "5\n");
  EXPECT_FALSE(room("0::/app\n"));
  put("memory/app/memory.limit_in_bytes", "9223372036854771712\n");
  put("memory/app/memory.usage_in_bytes", "5\n");
  EXPECT_FALSE(room("4:memory:/app\n")) << "how version 1 says that there is none";
  put("app/memory.max", "-1\n");
  put("app/memory.current", "garbage\n");
  EXPECT_FALSE(room("0::/app\n"));
}

// -------------------------------------------------------------------------------------------------
// Signals

TEST(Allocate, ATimerThatTicksFasterThanItIsDoneDoesNotKeepItFromEnding) {
  const UniqueFd fd(memfd_create("allocated", MFD_CLOEXEC));
  constexpr std::size_t kSize = (std::size_t{8} << 20) + 4096;
  g_fake = {.interrupted_above = 1 << 20};
  EXPECT_NO_THROW(allocate_file(fd.get(), kSize, "it"));
  EXPECT_LT(g_fake.calls, 40) << "in pieces as large as possible";
  g_fake = {};
  struct stat s = {};
  ASSERT_EQ(fstat(fd.get(), &s), 0);
  EXPECT_EQ(static_cast<std::size_t>(s.st_size), kSize);
  EXPECT_GE(static_cast<std::size_t>(s.st_blocks) * 512, kSize);
}

TEST(Allocate, ASizeThatFitsIsAskedForAtOnce) {
  const UniqueFd fd(memfd_create("allocated", MFD_CLOEXEC));
  g_fake = {};
  EXPECT_NO_THROW(allocate_file(fd.get(), 1 << 20, "it"));
  EXPECT_EQ(g_fake.calls, 1) << "so that the kernel refuses too much before it takes any";
}

// -------------------------------------------------------------------------------------------------
// Hosts with too little: children that have a /dev/shm of their own

struct Room {
  std::uint64_t bytes, files;
  friend bool operator==(const Room&, const Room&) = default;
};

Room room_in_shm() {
  struct statvfs fs = {};
  EXPECT_EQ(statvfs("/dev/shm", &fs), 0);
  return {fs.f_bavail * fs.f_frsize, fs.f_ffree};
}

TEST(SmallHost, HE5_AFullSharedMemoryIsAnErrorAndNothingIsLeft) {
  ChildParty child([] {
    if (!tests::own_mounts()) return;
    tests::mount_tmpfs("/dev/shm", "size=512k");
    const Segment first = create("first", 100'000);
    const Room before = room_in_shm();
    const Error error = error_of([] { return create("second", 1 << 20); });
    EXPECT_EQ(error.code(), std::errc::no_space_on_device);
    EXPECT_THAT(
        error.what(),
        AllOf(HasSubstr("create probe \"second\""), HasSubstr("expected 1052672 bytes"),
              HasSubstr(std::to_string(before.bytes) + " bytes free"), HasSubstr("/dev/shm")));
    EXPECT_EQ(room_in_shm(), before);
    std::vector<Segment> many;
    EXPECT_EQ(error_of([&]() -> Segment {
                for (;;) many.push_back(create("many-" + std::to_string(many.size()), 50'000));
              }).code(),
              std::errc::no_space_on_device);
    EXPECT_GE(many.size(), 4U);
    for (const Segment& one : many) one.object().back() = std::byte{1};  // no SIGBUS
    many.clear();
    EXPECT_EQ(room_in_shm(), before);
  });
  child.finish();
}

TEST(SmallHost, NoMoreFilesInSharedMemory) {
  ChildParty child([] {
    if (!tests::own_mounts()) return;
    tests::mount_tmpfs("/dev/shm", "size=4m,nr_inodes=40");
    std::vector<Segment> many;
    const Error error = error_of([&]() -> Segment {
      for (;;) many.push_back(create("many-" + std::to_string(many.size()), 100));
    });
    EXPECT_EQ(error.code(), std::errc::no_space_on_device);
    EXPECT_THAT(error.what(), HasSubstr("create probe \"many-" + std::to_string(many.size())));
  });
  child.finish();
}

TEST(SmallHost, ReadOnlySharedMemory) {
  ChildParty child([] {
    if (!tests::own_mounts()) return;
    tests::mount_tmpfs("/dev/shm", "size=4m", MS_RDONLY);
    for (const Error& error : {error_of([] { return create("new", 100); }),
                               error_of([] { return Segment::open("new", kKind); }), error_of([] {
                                 return Segment::open_or_create("new", kKind, 100, {}, leave_zero);
                               })}) {
      EXPECT_EQ(error.code(), std::errc::operation_not_supported);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("probe \"new\""), HasSubstr("Read-only"),
                                      HasSubstr("without names")));
    }
    EXPECT_NO_THROW(Segment::create_anonymous(kKind, 100, leave_zero)) << "needs no file";
  });
  child.finish();
}

TEST(SmallHost, MoreThanTheContainerHasLeft) {
  ChildParty child([] {
    if (!tests::own_mounts()) return;
    tests::mount_tmpfs("/sys/fs/cgroup", "size=1m");
    // Where this process is does not matter: the limit of the root holds for all.
    std::filesystem::create_directory("/sys/fs/cgroup/memory");
    std::ofstream("/sys/fs/cgroup/memory/memory.limit_in_bytes") << 10'000'000;
    std::ofstream("/sys/fs/cgroup/memory/memory.usage_in_bytes") << 9'000'000;
    std::ofstream("/sys/fs/cgroup/memory.max") << 10'000'000;
    std::ofstream("/sys/fs/cgroup/memory.current") << 9'000'000;
    const Error error = error_of([] { return create("contained", 2'000'000); });
    EXPECT_EQ(error.code(), std::errc::not_enough_memory);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("create probe \"contained\""),
                                    HasSubstr("1000000 bytes left in cgroup /sys/fs/cgroup"),
                                    HasSubstr("container's memory limit")));
    EXPECT_FALSE(std::filesystem::exists(Domain::current().path() + "/obj-contained"));
    EXPECT_NO_THROW(create("contained", 500'000));
  });
  child.finish();
}

TEST(SmallHost, MoreThanTheMachineHasLeft) {
  ChildParty child([] {
    if (!tests::own_mounts()) return;
    tests::mount_tmpfs("/dev/shm", "size=1000g");
    g_fake = {.refuses = true};  // or a mistake here would cost the machine all its memory
    const Error error = error_of([] { return create("vast", std::size_t{900} << 30); });
    EXPECT_EQ(error.code(), std::errc::not_enough_memory);
    EXPECT_THAT(error.what(), HasSubstr("bytes left"));
  });
  child.finish();
}

}  // namespace
}  // namespace sluice
