// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/domain.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "sluice/sync/error.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/refused_call.h"

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

// -------------------------------------------------------------------------------------------------
// Removed while in use

template <class Call>
std::error_code code_of(Call call) {
  try {
    static_cast<void>(call());
    return {};
  } catch (const Error& e) {
    return e.code();
  }
}

TEST_F(DomainTest, WhoseRegistryIsRemovedRefusesNamesAndGoesOn) {
  Domain domain(path_);
  fs::remove(path_ + "/registry-v1");
  EXPECT_EQ(code_of([&] { return domain.directory(); }), Status::registry_lost);
  EXPECT_TRUE(domain.open_registry()) << "it has no name, but it is there";
  EXPECT_NO_THROW(static_cast<void>(domain.open_live_file(0)));
}

TEST_F(DomainTest, WhoseRegistryIsMadeAnewByOthersRefusesNames) {
  Domain domain(path_);
  fs::remove(path_ + "/registry-v1");
  Domain another(path_);
  EXPECT_EQ(code_of([&] { return domain.directory(); }), Status::registry_lost);
  EXPECT_NO_THROW(static_cast<void>(another.directory()));
}

TEST_F(DomainTest, WhoseDirectoryIsRemovedRefusesNamesAndSaysWhatToDo) {
  Domain domain(path_);
  fs::remove_all(path_);
  try {
    static_cast<void>(domain.directory());
    FAIL() << "the directory is gone";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::registry_lost);
    EXPECT_THAT(e.what(), AllOf(HasSubstr(path_), HasSubstr("restart")));
  }
  EXPECT_TRUE(domain.open_registry());
}

// -------------------------------------------------------------------------------------------------
// All tags given out

void use_up(const std::string& domain) {
  const UniqueFd registry(open((domain + "/registry-v1").c_str(), O_RDWR | O_CLOEXEC));
  const std::uint32_t last = 0xffffffff;
  ASSERT_TRUE(internal::write_at(registry.get(), &last, sizeof last, internal::kCounterOffset));
}

TEST_F(DomainTest, UsedUpAndWithNobodyAliveIsReplaced) {
  const std::uint64_t before = Domain(path_).incarnation();
  use_up(path_);
  EXPECT_EQ(Domain(path_, Domain::Access::look).incarnation(), before) << "who only looks";
  const std::uint64_t after = Domain(path_).incarnation();
  EXPECT_NE(after, before);
  EXPECT_EQ(Domain(path_).incarnation(), after) << "once";
}

TEST_F(DomainTest, UsedUpWhileSomebodyLivesStays) {
  Domain domain(path_);
  use_up(path_);
  for (const int index : {0, 7, 15}) {
    const auto life = internal::FileHold::take(
        domain.open_live_file(index), internal::kLiveBase + 0xfffffff0U + index,
        internal::FileHold::Mode::write, internal::FileHold::OnFork::drop);
    EXPECT_EQ(Domain(path_).incarnation(), domain.incarnation()) << index;
  }
  EXPECT_NE(Domain(path_).incarnation(), domain.incarnation());
  EXPECT_EQ(code_of([&] { return domain.directory(); }), Status::registry_lost)
      << "who had opened the old one and never attached";
}

TEST_F(DomainTest, OfManyWhoReplaceItAtOnceAllGetOne) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t before = Domain(path_).incarnation();
    use_up(path_);
    Gate go;
    std::vector<pid_t> openers;
    for (int i = 0; i < 8; ++i) {
      const pid_t pid = fork();
      if (pid == 0) {
        go.wait();
        for (;;) {
          try {
            std::ofstream(scratch_ + "/" + std::to_string(getpid())) << Domain(path_).incarnation();
            _exit(0);
          } catch (const Error& e) {
            if (e.code() != Status::busy) _exit(1);  // busy: another is at it
          }
        }
      }
      openers.push_back(pid);
    }
    for (int i = 0; i < 8; ++i) go.open();
    const auto read_number = [&](pid_t pid) {
      std::uint64_t seen = 0;
      std::ifstream(scratch_ + "/" + std::to_string(pid)) >> seen;
      return seen;
    };
    for (const pid_t pid : openers) {
      int status = -1;
      waitpid(pid, &status, 0);
      EXPECT_EQ(status, 0);
      EXPECT_EQ(read_number(pid), Domain(path_).incarnation());
      EXPECT_NE(read_number(pid), before);
    }
  }
}

// -------------------------------------------------------------------------------------------------
// Files that the kernel refuses to make or name

const std::vector<RefusedCall> kRefusals = {
    {.number = SYS_openat, .error = EOPNOTSUPP, .bits = O_TMPFILE & ~O_DIRECTORY, .argument = 2},
    {.number = SYS_linkat, .error = EPERM},
    {.number = SYS_linkat, .error = ENOSYS},
};

TEST_F(DomainTest, IsMadeWhereFilesWithoutANameAreRefused) {
  for (const RefusedCall& call : kRefusals) {
    ChildParty child([&] {
      refuse_calls({call});
      const std::uint64_t made = Domain(path_).incarnation();
      EXPECT_EQ(Domain(path_).incarnation(), made);
    });
    child.finish();
    for (const auto& entry : fs::directory_iterator(path_)) {
      EXPECT_THAT(entry.path().string(), testing::Not(HasSubstr(".new")));
    }
    fs::remove_all(path_);
  }
}

TEST_F(DomainTest, IsMadeWhereRenamingWithoutReplacingIsRefusedToo) {
  ChildParty child([&] {
    refuse_calls({kRefusals[0], {.number = SYS_renameat2, .error = EINVAL}});
    EXPECT_NO_THROW(Domain{path_});
  });
  child.finish();
  for (const auto& entry : fs::directory_iterator(path_)) {
    EXPECT_THAT(entry.path().string(), testing::Not(HasSubstr(".new")));
  }
}

// -------------------------------------------------------------------------------------------------
// The choice: in a child each, since a process chooses once

TEST(DomainChoice, IsWhatTheProcessThenUses) {
  const std::string name = "chosen-" + std::to_string(getpid());
  ChildParty child([&] {
    Domain::choose("another");
    Domain::choose(name);
    EXPECT_EQ(Domain::current_path(), Domain::path_of(name));
    attach();
    EXPECT_EQ(Domain::current().path(), Domain::path_of(name));
    EXPECT_TRUE(fs::exists(Domain::path_of(name) + "/registry-v1"));
    EXPECT_FALSE(fs::exists(Domain::path_of("another")));
  });
  child.finish();
  fs::remove_all(Domain::path_of(name));
}

TEST(DomainChoice, AfterTheFirstUseIsAMistake) {
  ChildParty child([] {
    attach();
    EXPECT_THROW(Domain::choose("too-late"), std::logic_error);
  });
  child.finish();
}

TEST(DomainChoice, OfANameThatCannotBeIsAnError) { EXPECT_THROW(Domain::choose("a/b"), Error); }

}  // namespace
}  // namespace sluice::tests
