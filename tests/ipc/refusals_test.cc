// SPDX-License-Identifier: Apache-2.0
//
// Every kind of object (object_kinds.h) against every fault that its memory can have: no descriptor
// left, a file that may only be read, a truncated one, another type, another format
// version, the other byte order. Each is refused with one message that names the object, what was
// expected, what was found and what to do. A full file system is in full_file_system_test.cc.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/ipc/object_kinds.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Refusals : public testing::TestWithParam<ObjectKind> {
 protected:
  Refusals() {
    std::string made = testing::TempDir() + "refusals-XXXXXX";
    if (mkdtemp(made.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = made;
    attach();
  }
  ~Refusals() override {
    std::filesystem::remove_all(directory_);
    if (!GetParam().is_file) Segment::remove("thing");
  }

  [[nodiscard]] std::string name() const {
    return GetParam().is_file ? directory_ + "/thing" : "thing";
  }
  [[nodiscard]] std::string path() const {
    return GetParam().is_file ? name() : Domain::current().path() + "/obj-thing";
  }

  void change_stamp(const std::function<void(Stamp&)>& change) const {
    const UniqueFd fd(open(path().c_str(), O_RDWR | O_CLOEXEC));
    Stamp stamp = {};
    ASSERT_EQ(pread(fd.get(), &stamp, sizeof stamp, 0), static_cast<ssize_t>(sizeof stamp));
    change(stamp);
    const auto bytes = std::as_bytes(std::span(&stamp, 1));
    stamp.checksum = Fnv1a().add(bytes.first(offsetof(Stamp, checksum))).value();
    ASSERT_EQ(pwrite(fd.get(), &stamp, sizeof stamp, 0), static_cast<ssize_t>(sizeof stamp));
  }

  /// Opening it is refused, in four parts, and does it no harm.
  void expect_refused(std::error_code code, const std::vector<std::string>& parts,
                      bool as_other = false) const {
    const Error error =
        error_of([&] { as_other ? GetParam().open_as_other(name()) : GetParam().open(name()); });
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("\"" + name() + "\""));
    for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
    EXPECT_FALSE(error.text().expected.empty()) << error.what();
    EXPECT_FALSE(error.text().found.empty()) << error.what();
    EXPECT_FALSE(error.text().hint.empty()) << error.what();
    EXPECT_TRUE(std::filesystem::exists(path())) << "it is the user's to remove";
  }

  std::string directory_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, Refusals, testing::ValuesIn(object_kinds()),
                         [](const auto& info) { return std::string(info.param.title); });

TEST_P(Refusals, AnAbsentOne) {
  const Error error = error_of([&] { GetParam().open(name()); });
  EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
  EXPECT_THAT(error.what(), HasSubstr("\"" + name() + "\""));
  EXPECT_FALSE(error.text().hint.empty()) << error.what();
}

TEST_P(Refusals, ATruncatedFile) {
  GetParam().make(name());
  const std::uintmax_t whole = std::filesystem::file_size(path());
  for (const std::uintmax_t size :
       {whole - 1, whole - 4096, std::uintmax_t{4096 + 8}, std::uintmax_t{4096}, std::uintmax_t{88},
        std::uintmax_t{87}, std::uintmax_t{1}, std::uintmax_t{0}}) {
    std::filesystem::resize_file(path(), size);
    expect_refused(make_error_code(Status::corrupt), {std::to_string(size), "remove it"});
  }
}

TEST_P(Refusals, ALongerFile) {
  GetParam().make(name());
  const std::uintmax_t longer = std::filesystem::file_size(path()) + 1;
  std::filesystem::resize_file(path(), longer);
  expect_refused(make_error_code(Status::corrupt), {std::to_string(longer), "remove it"});
}

TEST_P(Refusals, AFileThatMayOnlyBeRead) {
  GetParam().make(name());
  ASSERT_EQ(chmod(path().c_str(), 0400), 0);
  const Error error = error_of([&] { GetParam().open(name()); });
  // Root may open it nevertheless, and is told all the same.
  EXPECT_TRUE(error.code() == std::errc::permission_denied ||
              error.code() == std::errc::operation_not_permitted);
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("\"" + name() + "\""), HasSubstr("mode 0400"), HasSubstr("chmod")));
}

TEST_P(Refusals, AnotherTypeOrKind) {
  GetParam().make(name());
  expect_refused(make_error_code(Status::mismatch), {"expected kind ", "found kind "}, true);
  EXPECT_NO_THROW(GetParam().open(name())) << "it is as it was";
}

TEST_P(Refusals, AnotherFormatVersion) {
  GetParam().make(name());
  change_stamp([](Stamp& stamp) { stamp.kind_version = 77; });
  expect_refused(make_error_code(Status::mismatch),
                 {"version 1", "version 77", "the version of sluice"});
}

TEST_P(Refusals, AnotherStampVersion) {
  GetParam().make(name());
  change_stamp([](Stamp& stamp) { stamp.stamp_version = 77; });
  expect_refused(make_error_code(Status::mismatch), {"stamp version 77"});
}

TEST_P(Refusals, TheOtherByteOrder) {
  GetParam().make(name());
  change_stamp([](Stamp& stamp) {
    stamp.magic = __builtin_bswap64(stamp.magic);
    stamp.byte_order = __builtin_bswap32(stamp.byte_order);
    stamp.total_size = __builtin_bswap64(stamp.total_size);
  });
  expect_refused(make_error_code(Status::mismatch),
                 {"expected byte order 0x1020304", "found byte order 0x4030201", "machine"});
}

TEST_P(Refusals, WhatIsNoObjectAtAll) {
  const UniqueFd fd(open(path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(ftruncate(fd.get(), 16384), 0);
  expect_refused(make_error_code(Status::corrupt), {"not a sluice segment", "remove it"});
}

TEST_P(Refusals, NoDescriptorLeft) {
  GetParam().make(name());
  ChildParty child([&] {
    attach();
    rlimit limit = {};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const UniqueFd next(open("/dev/null", O_RDONLY | O_CLOEXEC));
    int refused = 0;
    for (rlim_t more = 0; more < 5; ++more) {
      limit.rlim_cur = static_cast<rlim_t>(next.get()) + 1 + more;
      ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
      const std::string other = name() + "-2";
      for (const bool opens : {false, true}) {
        try {
          opens ? GetParam().open(name()) : GetParam().make(other);
          break;  // that was enough
        } catch (const Error& e) {
          ++refused;
          EXPECT_EQ(e.code(), std::errc::too_many_files_open) << more << ", " << opens;
          EXPECT_THAT(e.what(), AllOf(HasSubstr(opens ? name() : other), HasSubstr("ulimit -n")));
        }
      }
      if (!GetParam().is_file) Segment::remove(other);
    }
    EXPECT_GE(refused, 2) << "neither can be made or opened without one";
  });
  child.finish();
  EXPECT_NO_THROW(GetParam().open(name())) << "nothing has happened to it";
}

}  // namespace
}  // namespace sluice::tests
