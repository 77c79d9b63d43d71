// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/domain.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/tests/support/bodies.h"

namespace sluice::tests {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

/// A place in which a test may make a directory for a domain; removed with all that is in it.
class DomainTest : public testing::Test {
 protected:
  DomainTest() {
    std::string pattern = "/dev/shm/sluice-domain-test-XXXXXX";
    scratch_ = mkdtemp(pattern.data());
    path_ = scratch_ + "/domain";
  }
  ~DomainTest() override { fs::remove_all(scratch_); }

  /// The text of the Error that opening the domain throws; empty if it throws nothing.
  [[nodiscard]] std::string refusal() const {
    try {
      const Domain domain(path_);
      return "";
    } catch (const Error& e) {
      return e.what();
    }
  }
  [[nodiscard]] static mode_t mode_of(const std::string& path) {
    struct stat s = {};
    EXPECT_EQ(stat(path.c_str(), &s), 0) << path;
    return s.st_mode & 07777;
  }

  std::string scratch_;
  std::string path_;
};

TEST(DomainName, Rules) {
  for (const char* good : {"a", "orders", "A-Z_0.9", "x..y", "-", "_"}) {
    EXPECT_TRUE(is_valid_name(good)) << good;
  }
  for (const char* bad : {"", ".", "..", ".hidden", "a/b", "a b", "a\n", "\xc3\xa4", "a:b"}) {
    EXPECT_FALSE(is_valid_name(bad)) << '"' << bad << '"';
  }
  EXPECT_FALSE(is_valid_name(std::string_view("a\0b", 3)));
  EXPECT_TRUE(is_valid_name(std::string(200, 'x')));
  EXPECT_FALSE(is_valid_name(std::string(201, 'x')));
}

TEST_F(DomainTest, IsMadeForItsUserAlone) {
  const Domain domain(path_);
  EXPECT_EQ(domain.path(), path_);
  EXPECT_EQ(mode_of(path_), 0700U);
  for (const auto& entry : fs::directory_iterator(path_)) {
    EXPECT_EQ(mode_of(entry.path()), 0600U) << entry.path();
  }
}

TEST_F(DomainTest, OpenedAgainIsTheSame) {
  const Domain first(path_);
  const Domain second(path_);
  EXPECT_NE(first.incarnation(), 0U);
  EXPECT_EQ(first.incarnation(), second.incarnation());
}

TEST_F(DomainTest, MadeAnewIsAnother) {
  const std::uint64_t before = Domain(path_).incarnation();
  fs::remove_all(path_);
  EXPECT_NE(Domain(path_).incarnation(), before);
}

TEST_F(DomainTest, OfManyWhoMakeItAtOnceAllGetOne) {
  for (int round = 0; round < 10; ++round) {
    Gate go;
    std::vector<pid_t> makers;
    for (int i = 0; i < 8; ++i) {
      const pid_t pid = fork();
      if (pid == 0) {
        go.wait();
        try {
          std::ofstream(scratch_ + "/" + std::to_string(getpid())) << Domain(path_).incarnation();
          _exit(0);
        } catch (const Error&) {
          _exit(1);
        }
      }
      makers.push_back(pid);
    }
    for (int i = 0; i < 8; ++i) go.open();
    for (const pid_t pid : makers) {
      int status = -1;
      waitpid(pid, &status, 0);
      EXPECT_EQ(status, 0);
      std::uint64_t seen = 0;
      std::ifstream(scratch_ + "/" + std::to_string(pid)) >> seen;
      EXPECT_EQ(seen, Domain(path_).incarnation());
    }
    fs::remove_all(path_);
  }
}

TEST_F(DomainTest, ADirectoryThatOthersMayEnterIsRefused) {
  for (const mode_t mode : {0755, 0701, 0770, 01777}) {
    mkdir(path_.c_str(), 0700);
    chmod(path_.c_str(), mode);
    EXPECT_THAT(refusal(), HasSubstr("0700")) << std::oct << mode;
    fs::remove_all(path_);
  }
}

TEST_F(DomainTest, ADirectoryOfSomebodyElseIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  mkdir(path_.c_str(), 0700);
  if (chown(path_.c_str(), 12345, 12345) != 0) {
    ASSERT_EQ(errno, EINVAL);
    GTEST_SKIP() << "this user namespace, a sandbox's, knows no other user";
  }
  EXPECT_THAT(refusal(), HasSubstr("owner 12345"));
}

TEST_F(DomainTest, ALinkIsNotFollowed) {
  const std::string target = scratch_ + "/elsewhere";
  mkdir(target.c_str(), 0700);
  ASSERT_EQ(symlink(target.c_str(), path_.c_str()), 0);
  EXPECT_NE(refusal(), "");
  EXPECT_TRUE(fs::is_empty(target)) << "nothing was made behind it";
}

TEST_F(DomainTest, AFileInItsPlaceIsRefused) {
  std::ofstream(path_) << "x";
  EXPECT_NE(refusal(), "");
}

TEST_F(DomainTest, ARegistryThatIsNoneIsRefusedWithItsPath) {
  for (const std::string& content :
       {std::string(), std::string("short"), std::string(8192, 'x'), std::string(8192, '\0')}) {
    mkdir(path_.c_str(), 0700);
    std::ofstream(path_ + "/registry-v1") << content;
    EXPECT_THAT(refusal(), HasSubstr(path_)) << content.size() << " bytes";
    fs::remove_all(path_);
  }
}

TEST_F(DomainTest, ARegistryOfAnotherFormatIsRefusedWithBothNumbers) {
  {
    const Domain domain(path_);
  }
  std::fstream file(path_ + "/registry-v1");
  file.seekp(8);
  file.put(7);
  file.close();
  EXPECT_THAT(refusal(), AllOf(HasSubstr("format 1"), HasSubstr("format 7")));
}

TEST_F(DomainTest, WhatACreatorLeftThatDiedIsNoHindrance) {
  mkdir(path_.c_str(), 0700);
  std::ofstream(path_ + "/registry-v1.new") << "half";
  std::ofstream(path_ + "/live-v1-03");
  EXPECT_EQ(refusal(), "");
}

TEST_F(DomainTest, GoesOnAfterTheHostClosedItsDescriptors) {
  Domain domain(path_);
  const int before = domain.directory();
  close(before);
  const int foreign = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(foreign, before) << "the number belongs to another file now";
  EXPECT_NO_THROW(static_cast<void>(domain.open_registry()));
  EXPECT_GE(fcntl(foreign, F_GETFD), 0) << "which is not ours to close";
  const UniqueFd live = domain.open_live_file(5);
  EXPECT_TRUE(domain.is_live_file(live.get(), 5));
  EXPECT_FALSE(domain.is_live_file(live.get(), 6));
  EXPECT_FALSE(domain.is_live_file(foreign, 5));
  EXPECT_FALSE(domain.is_live_file(-1, 5));
  close(foreign);
}

TEST_F(DomainTest, ADirectoryMadeAnewUnderneathIsNotMistakenForTheOld) {
  Domain domain(path_);
  close(domain.directory());
  fs::rename(path_, path_ + ".away");
  const Domain other(path_);
  try {
    static_cast<void>(domain.directory());
    FAIL() << "another directory under the same name";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::registry_lost);
  }
}

TEST_F(DomainTest, AReplacedLivenessFileIsRefused) {
  Domain domain(path_);
  fs::remove(path_ + "/live-v1-02");
  EXPECT_THROW(static_cast<void>(domain.open_live_file(2)), Error);
  std::ofstream(path_ + "/live-v1-02");
  EXPECT_THROW(static_cast<void>(domain.open_live_file(2)), Error);
  EXPECT_NO_THROW(static_cast<void>(domain.open_live_file(3)));
}

TEST(DomainChoice, AfterTheFirstUseIsAMistake) {
  attach();
  EXPECT_THROW(Domain::choose("too-late"), std::logic_error);
}

TEST(DomainChoice, OfANameThatCannotBeIsAnError) { EXPECT_THROW(Domain::choose("a/b"), Error); }

}  // namespace
}  // namespace sluice::tests
