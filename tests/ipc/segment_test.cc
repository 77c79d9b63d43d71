// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/segment.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/stamp.h"
#include "sluice/pool/process.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/tests/support/bodies.h"
#include "sluice/tests/support/calls.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using tests::error_of;

constexpr SegmentKind kKind = {.name = "probe", .version = 3, .fingerprint = 0xabc};
constexpr std::size_t kBytes = 10'000;

void leave_zero(std::span<std::byte>) {}

void write_mark(std::span<std::byte> object) { object[0] = std::byte{42}; }

Segment create(std::string_view name, Lifetime lifetime = Lifetime::while_used) {
  return Segment::create(name, kKind, kBytes, lifetime, write_mark);
}

Segment open_or_create(std::string_view name) {
  return Segment::open_or_create(name, kKind, kBytes, Lifetime::while_used, write_mark);
}

std::string path_of(const std::string& name) { return Domain::current().path() + "/obj-" + name; }

bool exists(const std::string& name) {
  return std::filesystem::symlink_status(path_of(name)).type() !=
         std::filesystem::file_type::not_found;
}

/// Lets a child come to the end of `body` and kills it there, with all that it holds.
template <class Body>
void run_and_kill(Body body) {
  tests::Gate done;
  Process child([&] {
    const auto kept = body();
    done.open();
    for (;;) pause();
  });
  done.wait();
  child.kill();
  child.join();
  ASSERT_EQ(child.exit_code(), -SIGKILL);
}

/// A name of which a user that was killed has left the object behind.
void make_stale(const std::string& name) {
  run_and_kill([&] { return create(name); });
  ASSERT_TRUE(exists(name));
}

/// Changes the stamp in the file of `name`, and has its checksum fit again.
template <class Change>
void change_stamp(const std::string& name, Change change) {
  const UniqueFd fd(open(path_of(name).c_str(), O_RDWR | O_CLOEXEC));
  Stamp stamp = {};
  ASSERT_EQ(pread(fd.get(), &stamp, sizeof stamp, 0), static_cast<ssize_t>(sizeof stamp));
  change(stamp);
  const auto bytes = std::as_bytes(std::span(&stamp, 1));
  stamp.checksum = Fnv1a().add(bytes.first(offsetof(Stamp, checksum))).value();
  ASSERT_EQ(pwrite(fd.get(), &stamp, sizeof stamp, 0), static_cast<ssize_t>(sizeof stamp));
}

std::size_t count_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// -------------------------------------------------------------------------------------------------
// What works

TEST(Segment, IsSeenByWhoOpensIt) {
  const Segment made = create("shared");
  EXPECT_TRUE(made.created());
  EXPECT_EQ(made.name(), "shared");
  EXPECT_GE(made.object().size(), kBytes);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(made.object().data()) % 4096, 0U);
  const Segment opened = Segment::open("shared", kKind);
  EXPECT_FALSE(opened.created());
  EXPECT_EQ(opened.object().size(), made.object().size());
  EXPECT_NE(opened.object().data(), made.object().data()) << "another mapping of the same bytes";
  EXPECT_EQ(opened.object()[0], std::byte{42});
  EXPECT_THAT(opened.object().subspan(1), Each(std::byte{0}));
  made.object()[kBytes - 1] = std::byte{7};
  EXPECT_EQ(opened.object()[kBytes - 1], std::byte{7});
  EXPECT_EQ(opened.stamp().creator_tag, participant::self());
}

TEST(Segment, IsAFileOfThisUserAlone) {
  const Segment made = create("mode");
  struct stat s = {};
  ASSERT_EQ(stat(path_of("mode").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07777, 0600U);
  EXPECT_EQ(static_cast<std::size_t>(s.st_size), made.stamp().total_size);
  EXPECT_GE(s.st_blocks * 512, s.st_size) << "the memory is there before anybody needs it";
}

TEST(Segment, WithoutANameIsSeenThroughItsDescriptor) {
  const Segment made = Segment::create_anonymous(kKind, kBytes, write_mark);
  EXPECT_TRUE(made.created());
  EXPECT_EQ(made.name(), "");
  const Segment other = Segment::from_fd(made.fd(), kKind);
  EXPECT_FALSE(other.created());
  EXPECT_EQ(other.object()[0], std::byte{42});
  other.object()[1] = std::byte{1};
  EXPECT_EQ(made.object()[1], std::byte{1});
}

TEST(Segment, WithoutANameIsInheritedByAChild) {
  const Segment made = Segment::create_anonymous(kKind, kBytes, write_mark);
  tests::ChildParty child([&] {
    EXPECT_EQ(made.object()[0], std::byte{42});
    made.object()[0] = std::byte{43};
  });
  child.finish();
  EXPECT_EQ(made.object()[0], std::byte{43});
}

TEST(Segment, WithoutANameCanNotBeResized) {
  const Segment made = Segment::create_anonymous(kKind, kBytes, leave_zero);
  const UniqueFd fd = made.fd();
  EXPECT_EQ(ftruncate(fd.get(), 0), -1);
  EXPECT_EQ(ftruncate(fd.get(), 1 << 20), -1);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), -1) << "nor made useless for the others";
}

TEST(Segment, WithANameGoesThroughADescriptorToo) {
  const Segment made = create("sent");
  const Segment other = Segment::from_fd(made.fd(), kKind);
  EXPECT_EQ(other.object()[0], std::byte{42});
}

TEST(Segment, MovesWithoutLeaving) {
  Segment first = create("moved");
  Segment second = std::move(first);
  EXPECT_EQ(second.object()[0], std::byte{42});
  EXPECT_TRUE(exists("moved"));
  Segment third = create("target");
  third = std::move(second);
  EXPECT_FALSE(exists("target")) << "what it was before is left";
  EXPECT_EQ(third.name(), "moved");
  EXPECT_TRUE(exists("moved"));
}

TEST(Segment, OfNoBytesAtAll) {
  const Segment made = Segment::create("none", kKind, 0, Lifetime::while_used, leave_zero);
  EXPECT_TRUE(made.object().empty());
  EXPECT_TRUE(Segment::open("none", kKind).object().empty());
}

// -------------------------------------------------------------------------------------------------
// How long a name lasts

TEST(SegmentLifetime, TheNameGoesWithTheLastUser) {
  auto first = std::make_unique<Segment>(create("last"));
  auto second = std::make_unique<Segment>(Segment::open("last", kKind));
  first.reset();
  EXPECT_TRUE(exists("last")) << "whoever made it";
  second.reset();
  EXPECT_FALSE(exists("last"));
}

TEST(SegmentLifetime, UntilRemovedKeepsTheData) {
  {
    const Segment made = create("kept", Lifetime::until_removed);
    made.object()[5] = std::byte{5};
  }
  EXPECT_TRUE(exists("kept"));
  EXPECT_EQ(error_of([] { return create("kept"); }).code(), std::errc::file_exists);
  {
    const Segment opened = Segment::open("kept", kKind);
    EXPECT_EQ(opened.object()[5], std::byte{5});
    EXPECT_EQ(opened.stamp().lifetime(), Lifetime::until_removed);
  }
  run_and_kill([] { return Segment::open("kept", kKind); });
  EXPECT_EQ(open_or_create("kept").object()[5], std::byte{5}) << "also after a crash";
  EXPECT_TRUE(Segment::remove("kept"));
  EXPECT_FALSE(exists("kept"));
}

TEST(SegmentLifetime, RemoveLeavesTheUsersAlone) {
  EXPECT_FALSE(Segment::remove("removed"));
  const Segment old = create("removed");
  EXPECT_TRUE(Segment::remove("removed"));
  EXPECT_EQ(old.object()[0], std::byte{42});
  EXPECT_EQ(error_of([&] { return old.fd(); }).code(), std::errc::bad_file_descriptor);
  old.object()[0] = std::byte{1};
  const Segment another = create("removed");
  EXPECT_EQ(another.object()[0], std::byte{42}) << "not the old one";
}

TEST(SegmentLifetime, WhoLeavesLateDoesNotTakeANewNameAlong) {
  auto old = std::make_unique<Segment>(create("reused"));
  ASSERT_TRUE(Segment::remove("reused"));
  const Segment another = create("reused");
  old.reset();
  EXPECT_TRUE(exists("reused"));
}

TEST(SegmentLifetime, AChildThatInheritedItUsesIt) {
  auto made = std::make_unique<Segment>(create("inherited"));
  tests::Gate done;
  Process child([&] { done.wait(); });
  made.reset();
  EXPECT_TRUE(exists("inherited"));
  EXPECT_EQ(error_of([] { return create("inherited"); }).code(), std::errc::file_exists);
  done.open();
  child.join();
  EXPECT_NO_THROW(create("inherited")) << "after its end it is stale, and replaced";
}

// -------------------------------------------------------------------------------------------------
// Stale names

TEST(SegmentStale, OpenSaysSoAndRemovesIt) {
  make_stale("stale");
  const Error error = error_of([] { return Segment::open("stale", kKind); });
  EXPECT_EQ(error.code(), Status::stale);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("\"stale\""), HasSubstr("pid ")));
  EXPECT_FALSE(exists("stale"));
  EXPECT_EQ(error_of([] { return Segment::open("stale", kKind); }).code(),
            std::errc::no_such_file_or_directory);
}

TEST(SegmentStale, CreateReplacesIt) {
  make_stale("stale");
  EXPECT_TRUE(create("stale").created());
}

TEST(SegmentStale, OpenOrCreateMakesANewOne) {
  make_stale("stale");
  EXPECT_TRUE(open_or_create("stale").created());
}

TEST(SegmentStale, OneUserOfManyKilledIsNotStale) {
  const Segment mine = create("survived");
  run_and_kill([] { return Segment::open("survived", kKind); });
  EXPECT_NO_THROW(Segment::open("survived", kKind));
}

TEST(SegmentStale, WhoIsStoppedWhileItLooksIsToldOfAndHoldsUpNobodyForEver) {
  const Segment made = create("looked-at", Lifetime::until_removed);
  create("looked-at-2", Lifetime::until_removed);
  const UniqueFd other(open(path_of("looked-at-2").c_str(), O_RDWR | O_CLOEXEC));
  // As a process does it that makes sure that nobody uses the object, and gets no further.
  auto stopped =
      internal::FileHold::take(internal::open_anew(other.get()), Segment::kInUseByte,
                               internal::FileHold::Mode::write, internal::FileHold::OnFork::drop);
  ASSERT_TRUE(stopped);
  for (const Error& error : {error_of([] { return Segment::open("looked-at-2", kKind); }),
                             error_of([] { return open_or_create("looked-at-2"); })}) {
    EXPECT_EQ(error.code(), Status::busy);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("probe \"looked-at-2\""), HasSubstr("try again")));
  }
  EXPECT_NO_THROW(Segment::open("looked-at", kKind)) << "another name";
  stopped.reset();
  EXPECT_NO_THROW(Segment::open("looked-at-2", kKind));
  Segment::remove("looked-at");
  Segment::remove("looked-at-2");
}

// -------------------------------------------------------------------------------------------------
// What is refused

TEST(SegmentErrors, AnAbsentName) {
  const Error error = error_of([] { return Segment::open("absent", kKind); });
  EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("probe \"absent\""), HasSubstr("create it first")));
}

TEST(SegmentErrors, ANameInUse) {
  const Segment made = create("taken");
  const Error error = error_of([] { return create("taken"); });
  EXPECT_EQ(error.code(), std::errc::file_exists);
  EXPECT_THAT(error.what(), HasSubstr("probe \"taken\""));
  EXPECT_FALSE(open_or_create("taken").created());
}

TEST(SegmentErrors, NamesThatAreNone) {
  for (const std::string& name :
       {std::string(), std::string(".hidden"), std::string("a/b"), std::string("../up"),
        std::string("nul\0in", 6), std::string("sp ace"), std::string(201, 'x')}) {
    for (const Error& error : {error_of([&] { return create(name); }),
                               error_of([&] { return Segment::open(name, kKind); }),
                               error_of([&] { return open_or_create(name); }),
                               error_of([&] { return Segment::remove(name); })}) {
      EXPECT_EQ(error.code(), std::errc::invalid_argument) << name;
    }
  }
  EXPECT_NO_THROW(create(std::string(200, 'x')));
}

TEST(SegmentErrors, AnotherKindVersionOrType) {
  const Segment made = create("typed");
  const std::array<SegmentKind, 3> others = {{
      {.name = "other", .version = 3, .fingerprint = 0xabc},
      {.name = "probe", .version = 2, .fingerprint = 0xabc},
      {.name = "probe", .version = 3, .fingerprint = 0xabd},
  }};
  for (const SegmentKind& other : others) {
    EXPECT_EQ(error_of([&] { return Segment::open("typed", other); }).code(), Status::mismatch);
    EXPECT_EQ(error_of([&] { return Segment::from_fd(made.fd(), other); }).code(),
              Status::mismatch);
    const Error error = error_of([&] {
      return Segment::open_or_create("typed", other, kBytes, Lifetime::while_used, leave_zero);
    });
    EXPECT_EQ(error.code(), Status::mismatch);
    EXPECT_THAT(error.what(), HasSubstr("kind probe, version 3, type 0xabc"));
  }
  EXPECT_NO_THROW(Segment::open("typed", kKind)) << "the attempts did not hurt it";
}

TEST(SegmentErrors, AFileOfAnotherSize) {
  create("resized", Lifetime::until_removed);
  const std::size_t whole = std::filesystem::file_size(path_of("resized"));
  for (const std::size_t size :
       {2 * whole, whole + 1, whole - 1, kObjectOffset, std::size_t{50}, std::size_t{0}}) {
    std::filesystem::resize_file(path_of("resized"), size);
    const Error error = error_of([] { return Segment::open("resized", kKind); });
    EXPECT_EQ(error.code(), Status::corrupt) << size;
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(size)));
    EXPECT_EQ(error_of([] { return create("resized"); }).code(), Status::corrupt)
        << "nor is what nobody can identify replaced";
    EXPECT_EQ(error_of([] { return open_or_create("resized"); }).code(), Status::corrupt);
  }
  EXPECT_TRUE(Segment::remove("resized")) << "as the error's text proposes";
}

TEST(SegmentErrors, AFileThatIsNoSegment) {
  std::ofstream(path_of("text")) << std::string(10'000, 't');
  ASSERT_EQ(chmod(path_of("text").c_str(), 0600), 0);
  const Error error = error_of([] { return Segment::open("text", kKind); });
  EXPECT_EQ(error.code(), Status::corrupt);
  EXPECT_THAT(error.what(), HasSubstr("not a sluice segment"));
  EXPECT_TRUE(Segment::remove("text"));
}

TEST(SegmentErrors, ADamagedStamp) {
  create("damaged", Lifetime::until_removed);
  const UniqueFd fd(open(path_of("damaged").c_str(), O_WRONLY | O_CLOEXEC));
  const char wrong = 'x';
  ASSERT_EQ(pwrite(fd.get(), &wrong, 1, offsetof(Stamp, fingerprint)), 1);
  const Error error = error_of([] { return Segment::open("damaged", kKind); });
  EXPECT_EQ(error.code(), Status::corrupt);
  EXPECT_THAT(error.what(), HasSubstr("checksum"));
  EXPECT_TRUE(Segment::remove("damaged"));
}

TEST(SegmentErrors, AnotherRegistrysObject) {
  create("foreign", Lifetime::until_removed);
  change_stamp("foreign", [](Stamp& stamp) { stamp.incarnation ^= 1; });
  const Error error = error_of([] { return Segment::open("foreign", kKind); });
  EXPECT_EQ(error.code(), Status::foreign_registry);
  EXPECT_THAT(error.what(), HasSubstr(Domain::current().path()));
  EXPECT_EQ(error_of([] { return open_or_create("foreign"); }).code(), Status::foreign_registry);
  EXPECT_TRUE(Segment::remove("foreign"));
}

TEST(SegmentErrors, ASymbolicLink) {
  const std::string target = Domain::current().path() + "/target";
  std::ofstream(target) << "precious";
  std::filesystem::create_symlink(target, path_of("link"));
  EXPECT_EQ(error_of([] { return Segment::open("link", kKind); }).code(),
            std::errc::too_many_symbolic_link_levels);
  EXPECT_EQ(error_of([] { return open_or_create("link"); }).code(),
            std::errc::too_many_symbolic_link_levels);
  EXPECT_EQ(error_of([] { return create("link"); }).code(), std::errc::file_exists);
  EXPECT_TRUE(Segment::remove("link"));
  EXPECT_EQ(std::filesystem::file_size(target), 8U);
  std::filesystem::remove(target);
}

TEST(SegmentErrors, WhatIsNotAFile) {
  ASSERT_EQ(mkfifo(path_of("fifo").c_str(), 0600), 0);
  EXPECT_EQ(error_of([] { return Segment::open("fifo", kKind); }).code(),
            std::errc::operation_not_permitted);
  EXPECT_THROW(create("fifo"), Error);
  EXPECT_TRUE(Segment::remove("fifo"));
  std::filesystem::create_directory(path_of("directory"));
  EXPECT_THROW(Segment::open("directory", kKind), Error);
  EXPECT_THROW(create("directory"), Error);
  EXPECT_THROW(Segment::remove("directory"), Error);
  std::filesystem::remove(path_of("directory"));
}

TEST(SegmentErrors, AFileThatOthersCanReach) {
  const Segment made = create("reachable");
  for (const mode_t mode : {0604U, 0620U, 0666U}) {
    ASSERT_EQ(chmod(path_of("reachable").c_str(), mode), 0);
    EXPECT_EQ(error_of([] { return Segment::open("reachable", kKind); }).code(),
              std::errc::operation_not_permitted);
  }
}

TEST(SegmentErrors, AFileOfSomebodyElse) {
  const Segment made = create("theirs");
  if (chown(path_of("theirs").c_str(), 65534, 65534) != 0)
    GTEST_SKIP() << "only root can arrange it";
  const Error error = error_of([] { return Segment::open("theirs", kKind); });
  EXPECT_EQ(error.code(), std::errc::operation_not_permitted);
  EXPECT_THAT(error.what(), HasSubstr("owner 65534"));
  EXPECT_TRUE(Segment::remove("theirs"));
}

// -------------------------------------------------------------------------------------------------
// Descriptors of something else

UniqueFd memfd_of(const Segment& segment, int seals) {
  UniqueFd fd(memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(write(fd.get(), &segment.stamp(), sizeof(Stamp)), static_cast<ssize_t>(sizeof(Stamp)));
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(segment.stamp().total_size)), 0);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

TEST(SegmentFromFd, WantsTheSizeSealed) {
  constexpr int kAll = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  const Segment made = Segment::create_anonymous(kKind, kBytes, leave_zero);
  for (const int seals : {0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_GROW}) {
    const Error error = error_of([&] { return Segment::from_fd(memfd_of(made, seals), kKind); });
    EXPECT_EQ(error.code(), Status::mismatch);
    EXPECT_THAT(error.what(), HasSubstr("sealed"));
  }
  EXPECT_NO_THROW(Segment::from_fd(memfd_of(made, kAll), kKind));
}

TEST(SegmentFromFd, RefusesWhatIsNoSegment) {
  EXPECT_EQ(error_of([] { return Segment::from_fd(UniqueFd(), kKind); }).code(),
            std::errc::bad_file_descriptor);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd writer(ends[1]);
  EXPECT_EQ(error_of([&] { return Segment::from_fd(UniqueFd(ends[0]), kKind); }).code(),
            Status::mismatch);
  for (const char* path : {"/dev/null", "/proc/self/maps", "/proc/self/exe", "/"}) {
    EXPECT_THROW(Segment::from_fd(UniqueFd(open(path, O_RDONLY | O_CLOEXEC)), kKind), Error)
        << path;
  }
}

TEST(SegmentFromFd, RefusesADescriptorThatCanNotWrite) {
  const Segment made = Segment::create_anonymous(kKind, kBytes, leave_zero);
  const UniqueFd original = made.fd();
  UniqueFd reader(
      open(("/proc/self/fd/" + std::to_string(original.get())).c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(error_of([&] { return Segment::from_fd(std::move(reader), kKind); }).code(),
            std::errc::permission_denied);
}

TEST(SegmentFromFd, RefusesAnotherRegistrysSegment) {
  const Segment made = Segment::create_anonymous(kKind, kBytes, leave_zero);
  Stamp stamp = made.stamp();
  stamp.incarnation ^= 1;
  const auto bytes = std::as_bytes(std::span(&stamp, 1));
  stamp.checksum = Fnv1a().add(bytes.first(offsetof(Stamp, checksum))).value();
  const UniqueFd fd = made.fd();
  ASSERT_EQ(pwrite(fd.get(), &stamp, sizeof stamp, 0), static_cast<ssize_t>(sizeof stamp));
  EXPECT_EQ(error_of([&] { return Segment::from_fd(made.fd(), kKind); }).code(),
            Status::foreign_registry);
}

// -------------------------------------------------------------------------------------------------
// Too little of something

TEST(SegmentLimits, MoreThanTheFileSystemHolds) {
  struct statvfs fs = {};
  ASSERT_EQ(statvfs(Domain::current().path().c_str(), &fs), 0);
  if (fs.f_blocks == 0) GTEST_SKIP() << "this file system has no limit";
  const std::size_t too_much = (fs.f_blocks + 1) * fs.f_frsize;
  const Error error = error_of(
      [&] { return Segment::create("huge", kKind, too_much, Lifetime::while_used, leave_zero); });
  EXPECT_EQ(error.code(), std::errc::no_space_on_device);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("\"huge\""), HasSubstr("bytes free")));
  EXPECT_FALSE(exists("huge"));
  struct statvfs after = {};
  ASSERT_EQ(statvfs(Domain::current().path().c_str(), &after), 0);
  EXPECT_EQ(after.f_files - after.f_ffree, fs.f_files - fs.f_ffree) << "no file without a name";
}

TEST(SegmentLimits, MoreThanThereAreNumbersFor) {
  for (const std::size_t bytes :
       {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() - 5000,
        std::size_t{1} << 63}) {
    EXPECT_THROW(Segment::create_anonymous(kKind, bytes, leave_zero), Error) << bytes;
    EXPECT_THROW(Segment::create("wrap", kKind, bytes, Lifetime::while_used, leave_zero), Error);
    EXPECT_FALSE(exists("wrap"));
  }
}

TEST(SegmentLimits, MoreThanTheProcessMayWrite) {
  tests::ChildParty child([] {
    const rlimit limit = {.rlim_cur = 8192, .rlim_max = 8192};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (const Error& error : {error_of([] { return create("limited"); }), error_of([] {
                                 return Segment::create_anonymous(kKind, kBytes, leave_zero);
                               })}) {
      EXPECT_EQ(error.code(), std::errc::file_too_large);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("RLIMIT_FSIZE"), HasSubstr("ulimit")));
    }
    EXPECT_NO_THROW(Segment::create_anonymous(kKind, 4096, leave_zero)) << "exactly the limit";
  });
  child.finish();
  EXPECT_FALSE(exists("limited"));
}

TEST(SegmentLimits, NoDescriptorLeft) {
  attach();
  tests::ChildParty child([] {
    attach();
    rlimit limit = {};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const UniqueFd next(open("/dev/null", O_RDONLY | O_CLOEXEC));
    for (rlim_t more = 0; more < 4; ++more) {
      limit.rlim_cur = static_cast<rlim_t>(next.get()) + 1 + more;
      ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
      try {
        create("scarce");
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), std::errc::too_many_files_open) << more;
        EXPECT_THAT(e.what(), AllOf(HasSubstr("probe \"scarce\""), HasSubstr("ulimit -n"))) << more;
      }
      EXPECT_FALSE(exists("scarce")) << more << " descriptors more";
    }
  });
  child.finish();
}

TEST(SegmentLimits, AFormatThatThrowsLeavesNothing) {
  const auto fail = [](std::span<std::byte>) { throw std::runtime_error("changed my mind"); };
  EXPECT_THROW(Segment::create("given-up", kKind, kBytes, Lifetime::while_used, fail),
               std::runtime_error);
  EXPECT_FALSE(exists("given-up"));
  EXPECT_THROW(Segment::create_anonymous(kKind, kBytes, fail), std::runtime_error);
}

TEST(SegmentLimits, AThousandLeaveNoDescriptor) {
  create("warm-up");
  const std::size_t before = count_descriptors();
  for (int i = 0; i < 1000; ++i) {
    const Segment named = create("thousand");
    const Segment opened = Segment::open("thousand", kKind);
    const Segment anonymous = Segment::create_anonymous(kKind, kBytes, leave_zero);
    const Segment sent = Segment::from_fd(anonymous.fd(), kKind);
  }
  EXPECT_EQ(count_descriptors(), before);
}

TEST(SegmentLimits, NamedOnesKeepNoDescriptorOpen) {
  create("warm-up");
  const std::size_t before = count_descriptors();
  std::vector<Segment> many;
  many.reserve(20);
  for (int i = 0; i < 20; ++i) many.push_back(create("many-" + std::to_string(i)));
  EXPECT_EQ(count_descriptors(), before);
}

TEST(SegmentLimits, AHostThatClosesAllDescriptors) {
  const Segment old = create("old");
  tests::ChildParty child([&] {
    const Segment mine = create("mine");
    // Not the child's way of reporting, which comes after the lowest ones.
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      const auto target = std::filesystem::read_symlink(entry.path(), gone);
      if (target.string().starts_with("/dev/shm")) {
        close(std::stoi(entry.path().filename().string()));
      }
    }
    EXPECT_EQ(error_of([] { return create("mine"); }).code(), std::errc::file_exists)
        << "its lock is still held";
    EXPECT_EQ(Segment::open("old", kKind).object()[0], std::byte{42});
    EXPECT_TRUE(create("new").created());
  });
  child.finish();
}

// -------------------------------------------------------------------------------------------------
// Killed, and all at once

TEST(SegmentKilled, WhileTheObjectIsBeingMade) {
  Process creator([] {
    Segment::create("half", kKind, kBytes, Lifetime::until_removed,
                    [](std::span<std::byte>) { raise(SIGKILL); });
  });
  creator.join();
  ASSERT_EQ(creator.exit_code(), -SIGKILL);
  EXPECT_FALSE(exists("half"));
}

TEST(SegmentKilled, AtAnyTimeLeavesAWholeObjectOrNone) {
  for (int round = 0; round < 60; ++round) {
    tests::Gate started;
    Process creator([&] {
      started.open();
      for (;;) create("torn");
    });
    started.wait();
    // Not a wait for anything: only another moment in each round.
    for (int i = 0; i < round * 500; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
    creator.kill();
    creator.join();
    try {
      Segment::open("torn", kKind);
      ADD_FAILURE() << "nobody uses it";
    } catch (const Error& e) {
      EXPECT_TRUE(e.code() == Status::stale || e.code() == std::errc::no_such_file_or_directory)
          << e.what();
    }
    EXPECT_FALSE(exists("torn"));
  }
}

/// Where processes meet before and after the step that they race for.
struct Meeting {
  std::atomic<int> arrived, winners, losers, finished;
};

void meet(std::atomic<int>& counter, int expected) {
  ++counter;
  while (counter < expected) std::this_thread::yield();  // ends: all of them come here
}

TEST(SegmentRace, OfTwoCreatorsOneWins) {
  testkit::SharedArea<Meeting> area;
  for (int round = 0; round < 40; ++round) {
    area.reset();
    const auto body = [&] {
      meet(area->arrived, 2);
      try {
        const Segment mine = create("race");
        ++area->winners;
        meet(area->finished, 2);  // in use until the other has tried
      } catch (const Error& e) {
        if (e.code() == std::errc::file_exists) ++area->losers;
        meet(area->finished, 2);
      }
    };
    Process one(body);
    Process other(body);
    one.join();
    other.join();
    EXPECT_EQ(area->winners, 1);
    EXPECT_EQ(area->losers, 1);
    EXPECT_FALSE(exists("race"));
  }
}

TEST(SegmentRace, OfSixteenThatOpenOrCreateAllShareOne) {
  constexpr int kProcesses = 16;
  testkit::SharedArea<Meeting> area;
  for (int round = 0; round < 10; ++round) {
    area.reset();
    std::vector<Process> processes;
    processes.reserve(kProcesses);
    for (int i = 0; i < kProcesses; ++i) {
      processes.emplace_back([&] {
        meet(area->arrived, kProcesses);
        const Segment segment = open_or_create("race");
        if (segment.created()) ++area->winners;
        auto& users =
            *internal::attach_object<internal::Word<std::uint32_t>>(segment.object().subspan(64));
        // Relaxed, both: meet() lies between, and orders them.
        internal::RealEnv::fetch_add(users, 1U, std::memory_order_relaxed);
        meet(area->finished, kProcesses);
        if (internal::RealEnv::load(users, std::memory_order_relaxed) != kProcesses) {
          ++area->losers;
        }
      });
    }
    for (Process& process : processes) {
      process.join();
      EXPECT_EQ(process.exit_code(), 0);
    }
    EXPECT_EQ(area->winners, 1);
    EXPECT_EQ(area->losers, 0) << "saw another object than the others";
    EXPECT_FALSE(exists("race"));
  }
}

TEST(SegmentRace, ComingAndGoingAtOnce) {
  std::vector<Process> processes;
  processes.reserve(4);
  for (int i = 0; i < 4; ++i) {
    processes.emplace_back([] {
      for (int n = 0; n < 300; ++n) {
        if (open_or_create("door").object()[0] != std::byte{42}) _exit(1);
      }
    });
  }
  for (Process& process : processes) {
    process.join();
    EXPECT_EQ(process.exit_code(), 0) << "an exception, or an object that was not ready";
  }
  EXPECT_FALSE(exists("door"));
}

}  // namespace
}  // namespace sluice
