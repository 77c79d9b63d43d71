// SPDX-License-Identifier: Apache-2.0
//
// Arrays in files: what outlasts the processes and the registry, and what is refused, each with one
// message that names the file, what was expected, what was found and what to do.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "sluice/ipc/array.h"
#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/mapped_file.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/domain_files.h"
#include "sluice/tests/support/own_domain.h"
#include "sluice/tests/support/refused_call.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using tests::ChildParty;
using tests::error_of;
using tests::Gate;
using tests::OwnDomain;

class ArrayFile : public tests::DomainFiles {
 protected:
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory())) {
      found.push_back(entry.path().filename().string());
    }
    return found;
  }

  /// As in(), and killed at the end, with all that it holds.
  template <class Body>
  static void in_and_killed(const OwnDomain& domain, Body body) {
    Gate done;
    Process child([&] {
      domain.enter();
      [[maybe_unused]] const auto kept = body();
      done.open();
      for (;;) pause();
    });
    done.wait();
    child.kill();
    child.join();
    ASSERT_EQ(child.exit_code(), -SIGKILL);
  }

  void make(std::size_t count = 3) const {
    in(first_, [&] { Array<int>::map_file(path(), count).fill(5); });
  }
  /// What opening it says, to somebody in the domain it was made in.
  template <class A = Array<int>>
  void expect_refused(std::error_code code, const std::vector<std::string>& parts) const {
    in(first_, [&] {
      const Error error = error_of([&] { return A::open_file(path()); });
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(path()));
      for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
      EXPECT_EQ(error_of([&] { return A::map_file(path(), 3); }).code(), code);
    });
  }
  template <class Change>
  void change_stamp(Change change) const {
    const UniqueFd fd(open(path().c_str(), O_RDWR | O_CLOEXEC));
    Stamp stamp = {};
    ASSERT_EQ(pread(fd.get(), &stamp, sizeof stamp, 0), static_cast<ssize_t>(sizeof stamp));
    change(stamp);
    const auto bytes = std::as_bytes(std::span(&stamp, 1));
    stamp.checksum = Fnv1a().add(bytes.first(offsetof(Stamp, checksum))).value();
    ASSERT_EQ(pwrite(fd.get(), &stamp, sizeof stamp, 0), static_cast<ssize_t>(sizeof stamp));
  }
};

TEST_F(ArrayFile, OutlastsItsUsers) {
  in(first_, [&] {
    const auto made = Array<double>::map_file(path(), std::vector{1.5, 2.5});
    EXPECT_TRUE(made.created());
    EXPECT_EQ(made.name(), path());
    made.at(1) = 3.5;
    EXPECT_NO_THROW(made.flush());
  });
  EXPECT_EQ(files(), std::vector<std::string>{"object"});
  in(first_, [&] {
    const auto found = Array<double>::map_file(path(), 2);
    EXPECT_FALSE(found.created());
    EXPECT_THAT(found, ElementsAre(1.5, 3.5));
    EXPECT_NO_THROW(static_cast<void>(found.lock()));
    EXPECT_THAT(Array<double>::open_file(path()), ElementsAre(1.5, 3.5));
  });
}

TEST_F(ArrayFile, IsSharedByAllWhoMapIt) {
  in(first_, [&] {
    const auto mine = Array<long>::map_file(path(), 2);
    ChildParty child([&] {
      const auto its = Array<long>::open_file(path());
      EXPECT_NE(its.data(), mine.data());
      for (int i = 0; i < 1000; ++i) ++its.lock()[0];
    });
    for (int i = 0; i < 1000; ++i) ++mine.lock()[0];
    child.finish();
    EXPECT_EQ(mine[0], 2000);
  });
}

TEST_F(ArrayFile, OfEightWhoMapItOneMakesIt) {
  const OwnDomain& domain = first_;
  in(domain, [&] {
    std::vector<std::unique_ptr<ChildParty>> children;
    for (int i = 0; i < 8; ++i) {
      children.push_back(std::make_unique<ChildParty>([&] {
        const auto mine = Array<int>::map_file(path(), std::vector{0, 7});
        EXPECT_EQ(mine[1], 7);
        if (mine.created()) ++mine.lock()[0];
      }));
    }
    for (const auto& child : children) child->finish();
    EXPECT_EQ(Array<int>::open_file(path())[0], 1);
  });
  EXPECT_EQ(files().size(), 1U);
}

// -------------------------------------------------------------------------------------------------
// After a reboot, whose registry is another

TEST_F(ArrayFile, ALockThatWasFreeIsFreeAfterAReboot) {
  in(first_, [&] { Array<int>::map_file(path(), 2).lock()[0] = 4; });
  in(second_, [&] {
    const auto found = Array<int>::map_file(path(), 2);
    EXPECT_NO_THROW(static_cast<void>(found.lock()));
    EXPECT_EQ(found[0], 4);
  });
  in(first_, [&] { EXPECT_NO_THROW(static_cast<void>(Array<int>::open_file(path()).lock())); });
}

TEST_F(ArrayFile, AnOwnerFromBeforeTheRebootIsDead) {
  // Where the machine stops the kernel has no time to mark the lock: so a copy is taken.
  in(first_, [&] {
    const auto mine = Array<int>::map_file(path(), 2);
    mine.mutex().lock();
    mine[0] = 9;
    std::filesystem::copy_file(path(), path("held"));
    mine.mutex().unlock();
  });
  std::filesystem::rename(path("held"), path());
  in(second_, [&] {
    const auto found = Array<int>::open_file(path());
    EXPECT_THROW(static_cast<void>(found.lock()), OwnerDied);
    EXPECT_THROW(static_cast<void>(found.lock()), OwnerDied) << "until somebody repairs";
  });
  in(third_, [&] {
    const auto found = Array<int>::open_file(path());
    EXPECT_THROW(static_cast<void>(found.lock()), OwnerDied) << "also after another reboot";
    EXPECT_EQ(found.lock([](std::span<int> all) { all[1] = 9; })[0], 9);
    EXPECT_NO_THROW(static_cast<void>(found.lock()));
  });
}

TEST_F(ArrayFile, KilledWithTheLockHeld) {
  in_and_killed(first_, [&] {
    auto mine = Array<int>::map_file(path(), 2);
    mine.mutex().lock();
    mine[0] = 1;
    return mine;
  });
  in(first_,
     [&] { EXPECT_THROW(static_cast<void>(Array<int>::open_file(path()).lock()), OwnerDied); });
  in(second_,
     [&] { EXPECT_THROW(static_cast<void>(Array<int>::open_file(path()).lock()), OwnerDied); });
}

TEST_F(ArrayFile, WhileAnotherRegistryUsesItItIsRefused) {
  make();
  Gate used, asked;
  ChildParty user([&] {
    first_.enter();
    const auto mine = Array<int>::open_file(path());
    used.open();
    asked.wait();
    EXPECT_NO_THROW(static_cast<void>(mine.lock()));
  });
  used.wait();
  in(second_, [&] {
    const Error error = error_of([&] { return Array<int>::open_file(path()); });
    EXPECT_EQ(error.code(), Status::foreign_registry);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr(path()), HasSubstr("expected a file that only processes of"),
                      HasSubstr("found one in use"), HasSubstr("SLUICE_DOMAIN")));
  });
  asked.open();
  user.finish();
  in(second_, [&] { EXPECT_NO_THROW(static_cast<void>(Array<int>::open_file(path()).lock())); });
}

TEST_F(ArrayFile, BehindOneThatHasStoppedWhileAttachingItIsBusy) {
  make();
  const UniqueFd fd(open(path().c_str(), O_RDWR | O_CLOEXEC));
  const auto turn =
      internal::FileHold::take(internal::open_anew(fd.get()), MappedFile::kTurnByte,
                               internal::FileHold::Mode::write, internal::FileHold::OnFork::drop);
  expect_refused(Status::busy, {"attaching for a long time", "try again"});
}

// -------------------------------------------------------------------------------------------------
// Refused

TEST_F(ArrayFile, WhereThereIsNone) {
  in(first_, [&] {
    const Error none = error_of([&] { return Array<int>::open_file(path()); });
    EXPECT_EQ(none.code(), std::errc::no_such_file_or_directory);
    EXPECT_THAT(none.what(), AllOf(HasSubstr(path()), HasSubstr("map_file")));
    const Error nowhere = error_of([&] { return Array<int>::map_file(path("a/b"), 1); });
    EXPECT_EQ(nowhere.code(), std::errc::no_such_file_or_directory);
    EXPECT_THAT(nowhere.what(), AllOf(HasSubstr(path("a/b")), HasSubstr("the directory")));
    for (const std::string& wrong : {std::string(), path(""), path(".."), path("a") + '\0' + "b"}) {
      EXPECT_EQ(error_of([&] { return Array<int>::map_file(wrong, 1); }).code(),
                std::errc::invalid_argument);
    }
  });
}

TEST_F(ArrayFile, Truncated) {
  make();
  for (const std::size_t size : {8191U, 4096U, 100U, 0U}) {
    std::filesystem::resize_file(path(), size);
    expect_refused(Status::corrupt, {"expected", std::to_string(size), "remove it"});
  }
}

TEST_F(ArrayFile, ReadOnly) {
  make();
  ASSERT_EQ(chmod(path().c_str(), 0400), 0);
  expect_refused(std::make_error_code(std::errc::permission_denied),
                 {"may read and write", "mode 0400", "chmod"});
}

TEST_F(ArrayFile, WritableByOthers) {
  make();
  ASSERT_EQ(chmod(path().c_str(), 0622), 0);
  expect_refused(std::make_error_code(std::errc::operation_not_permitted),
                 {"creator named", "mode 0622", "chmod"});
  ASSERT_EQ(chmod(path().c_str(), 0644), 0);
  in(first_, [&] { EXPECT_NO_THROW(Array<int>::open_file(path())); });
}

TEST_F(ArrayFile, TheOtherByteOrder) {
  make();
  change_stamp([](Stamp& stamp) {
    stamp.magic = __builtin_bswap64(stamp.magic);
    stamp.byte_order = __builtin_bswap32(stamp.byte_order);
    stamp.total_size = __builtin_bswap64(stamp.total_size);
  });
  expect_refused(Status::mismatch, {"expected byte order 0x1020304", "found byte order 0x4030201",
                                    "use it on a machine"});
}

TEST_F(ArrayFile, AnotherType) {
  make();
  expect_refused<Array<float>>(Status::mismatch,
                               {"expected kind array, version 1, type float32",
                                "found kind array, version 1, type signed32", "use the type"});
}

TEST_F(ArrayFile, AnotherVersion) {
  make();
  change_stamp([](Stamp& stamp) { stamp.kind_version = 7; });
  expect_refused(Status::mismatch, {"expected kind array, version 1", "found kind array, version 7",
                                    "version of sluice"});
}

TEST_F(ArrayFile, AnotherLength) {
  make(5);
  in(first_, [&] {
    const Error error = error_of([&] { return Array<int>::map_file(path(), 3); });
    EXPECT_EQ(error.code(), Status::mismatch);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(path()), HasSubstr("expected 3 elements"),
                                    HasSubstr("found 5"), HasSubstr("remove it")));
    EXPECT_THAT(Array<int>::open_file(path()), Each(5));
  });
}

TEST_F(ArrayFile, NoSluiceFileAtAll) {
  std::ofstream(path()) << std::string(8192, 'x');
  ASSERT_EQ(chmod(path().c_str(), 0600), 0);
  expect_refused(Status::corrupt, {"not a sluice segment", "remove it"});
}

TEST_F(ArrayFile, ALinkOrADirectory) {
  ASSERT_EQ(symlink("/dev/null", path().c_str()), 0);
  expect_refused(std::make_error_code(std::errc::too_many_symbolic_link_levels),
                 {"not a link", "found a link", "the path that it leads to"});
  ASSERT_TRUE(std::filesystem::remove(path()));
  std::filesystem::create_directory(path());
  expect_refused(std::make_error_code(std::errc::is_a_directory), {"a file that this process"});
}

TEST_F(ArrayFile, HasNoDescriptorToSend) {
  in(first_, [&] {
    const auto array = Array<int>::map_file(path(), 1);
    EXPECT_THAT(error_of([&] { return array.fd(); }).what(), HasSubstr("open_file"));
  });
}

TEST_F(ArrayFile, WhatAKilledCreatorLeftIsRemovedByTheNext) {
  // Under a name of its own, as where the file system knows no other way.
  std::ofstream(path("object.new-1-0")) << "half";
  std::ofstream(path("object.news")) << "somebody else's";
  in(first_, [&] {
    tests::refuse_calls({{.number = SYS_linkat, .error = EPERM}});
    EXPECT_TRUE(Array<int>::map_file(path(), 1).created());
  });
  EXPECT_THAT(files(), testing::UnorderedElementsAre("object", "object.news"));
}

}  // namespace
}  // namespace sluice
