// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/domain.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"

namespace sluice::tests {
namespace {

namespace fs = std::filesystem;

/// A directory of the test's own beside the test's domain, removed at the end.
class DomainDirectory : public testing::Test {
 protected:
  DomainDirectory() : path_(Domain::current().path() + "-more") { fs::remove_all(path_); }
  ~DomainDirectory() override { fs::remove_all(path_); }

  std::string path_;
};

TEST(DomainName, AllowsLettersDigitsAndThreeSigns) {
  EXPECT_TRUE(is_valid_name("a"));
  EXPECT_TRUE(is_valid_name("Orders_v2.eu-west"));
  EXPECT_TRUE(is_valid_name(std::string(200, 'x')));
}

TEST(DomainName, RefusesWhatCouldLeadElsewhere) {
  for (const char* name : {"", ".", "..", ".hidden", "a/b", "../x", "a b", "a\n", "\xc3\xa4"}) {
    EXPECT_FALSE(is_valid_name(name)) << name;
  }
  EXPECT_FALSE(is_valid_name(std::string(201, 'x')));
  EXPECT_FALSE(is_valid_name(std::string_view("a\0b", 3)));
}

TEST_F(DomainDirectory, IsMadeForThisUserAlone) {
  const Domain domain(path_);
  struct stat s = {};
  ASSERT_EQ(stat(path_.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07777, 0700U);
  EXPECT_EQ(s.st_uid, geteuid());
  ASSERT_EQ(stat((path_ + "/registry-v1").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07777, 0600U);
}

TEST_F(DomainDirectory, OpenedAgainIsTheSameRegistry) {
  const Domain first(path_);
  const Domain second(path_);
  EXPECT_EQ(first.incarnation(), second.incarnation());
  fs::remove_all(path_);
  const Domain third(path_);
  EXPECT_NE(first.incarnation(), third.incarnation());
}

TEST_F(DomainDirectory, IsRefusedIfOthersCouldWriteIt) {
  fs::create_directory(path_);
  ASSERT_EQ(chmod(path_.c_str(), 0770), 0);
  try {
    const Domain domain(path_);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), std::errc::operation_not_permitted);
    EXPECT_NE(std::string(e.what()).find(path_), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("0770"), std::string::npos) << e.what();
  }
}

TEST_F(DomainDirectory, IsRefusedIfItIsALinkOrAFile) {
  fs::create_directory_symlink("/tmp", path_);
  EXPECT_THROW(Domain{path_}, Error);
  fs::remove(path_);
  std::ofstream(path_) << "a file";
  EXPECT_THROW(Domain{path_}, Error);
}

TEST_F(DomainDirectory, ARegistryThatIsNoneIsSaidToBeCorrupt) {
  {
    const Domain domain(path_);
  }
  std::ofstream(path_ + "/registry-v1", std::ios::trunc) << "garbage";
  try {
    const Domain domain(path_);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::corrupt) << e.what();
  }
}

TEST_F(DomainDirectory, WhatADeadCreatorLeftIsUsed) {
  fs::create_directory(path_);
  ASSERT_EQ(chmod(path_.c_str(), 0700), 0);
  std::ofstream(path_ + "/live-v1-03");
  std::ofstream(path_ + "/registry-v1.new") << "half";
  ASSERT_EQ(chmod((path_ + "/live-v1-03").c_str(), 0600), 0);
  Domain domain(path_);
  EXPECT_TRUE(domain.open_live_file(3));
}

TEST_F(DomainDirectory, ManyProcessesThatCreateItAgreeOnOne) {
  std::vector<Process> processes;
  processes.reserve(16);
  for (int i = 0; i < 16; ++i) {
    processes.emplace_back([this] {
      const Domain domain(path_);
      // The incarnation does not fit into an exit code; eight bits of it will do.
      _exit(static_cast<int>(domain.incarnation() & 0xff));
    });
  }
  for (Process& process : processes) process.join();
  const int expected = static_cast<int>(Domain(path_).incarnation() & 0xff);
  for (const Process& process : processes) EXPECT_EQ(process.exit_code(), expected);
}

TEST_F(DomainDirectory, TellsItsLiveFilesFromOthers) {
  Domain domain(path_);
  const UniqueFd third = domain.open_live_file(3);
  EXPECT_TRUE(domain.is_live_file(third.get(), 3));
  EXPECT_FALSE(domain.is_live_file(third.get(), 4));
  const UniqueFd other(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(domain.is_live_file(other.get(), 3));
  EXPECT_FALSE(domain.is_live_file(-1, 3));
}

TEST_F(DomainDirectory, IsFoundAgainAfterTheHostClosedItsDescriptor) {
  Domain domain(path_);
  ASSERT_EQ(close(domain.directory()), 0);
  EXPECT_TRUE(domain.open_registry());
}

TEST_F(DomainDirectory, CleanedWhileInUseIsAnError) {
  Domain domain(path_);
  fs::remove_all(path_);
  EXPECT_THROW(static_cast<void>(domain.open_registry()), Error);
}

TEST(Domain, IsChosenBeforeItsFirstUse) {
  static_cast<void>(Domain::current());
  EXPECT_THROW(Domain::choose("other"), std::logic_error);
}

TEST(Domain, RefusesABadName) {
  Process child([] {
    try {
      Domain::choose("../../tmp/x");
    } catch (const Error& e) {
      _exit(e.code() == std::errc::invalid_argument ? 42 : 43);
    }
  });
  child.join();
  EXPECT_EQ(child.exit_code(), 42);
}

}  // namespace
}  // namespace sluice::tests
