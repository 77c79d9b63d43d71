// SPDX-License-Identifier: Apache-2.0
//
// Taking a tag, and creating the domain in which it is taken, killed before and after each system
// call. That is every point that matters: both work on files and locks alone, and what a process
// writes into its own memory in between dies with it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>

#include "sluice/sync/domain.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/testkit/crash.h"
#include "sluice/tests/crash/kill_table.h"
#include "sluice/tests/support/leftovers.h"

namespace sluice::tests {
namespace {

using internal::FileHold;
using testkit::CrashOperation;
using testkit::KillAt;
using testkit::SharedArea;

std::string own_domain() { return directory_of(std::getenv("SLUICE_DOMAIN")); }

// -------------------------------------------------------------------------------------------------
// Taking a tag

/// A participant that lives as long as this object.
class Witness {
 public:
  Witness() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    pid_ = fork();
    if (pid_ == 0) live(write_end.get());
    write_end.reset();
    if (read(read_end.get(), &tag_, sizeof tag_) != sizeof tag_) {
      throw std::runtime_error("the witness can't attach");
    }
  }
  ~Witness() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  [[nodiscard]] Tag tag() const { return tag_; }

 private:
  [[noreturn]] static void live(int tell) noexcept {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const Tag mine = participant::self();
    if (write(tell, &mine, sizeof mine) != sizeof mine) _exit(1);
    for (;;) pause();
  }

  Tag tag_ = participant::kNobody;
  pid_t pid_ = -1;
};

/// This process never attaches: the victims and the survivors do all of it, from the start.
class TagCrash : public testing::Test {
 protected:
  /// The registry's counter: the tag that the next participant gets.
  static Tag next_tag() {
    const UniqueFd registry(open((own_domain() + "/registry-v1").c_str(), O_RDONLY | O_CLOEXEC));
    Tag next = 0;
    if (!internal::read_at(registry.get(), &next, sizeof next, internal::kCounterOffset)) {
      throw std::runtime_error("can't read the registry's counter");
    }
    return next;
  }

  CrashOperation taking(std::string name, std::function<void()> operation) {
    CrashOperation op{.name = std::move(name)};
    op.setup = [this] {
      next_ = next_tag();
      *acknowledged_ = participant::kNobody;
    };
    op.operation = std::move(operation);
    op.survivor = [this](bool completed) { return judge(completed); };
    return op;
  }

  std::string judge(bool completed) const {
    const Tag dead = *acknowledged_;
    const Tag mine = participant::self();
    if (mine == witness_.tag()) return "a living participant's tag was given out again";
    if (mine == dead) return "the tag that the dead had taken was given out again";
    if (mine != next_ && mine != next_ + 1) return "more than one number was lost";
    if (completed && (dead != next_ || mine == next_)) return "the tag taken was not the next one";
    if (participant::probe(witness_.tag()) != Liveness::alive) return "the living is not alive";
    if (participant::probe(mine) != Liveness::alive) return "the survivor is not alive";
    if (mine != next_ && participant::probe(next_) != Liveness::dead) return "the dead is not dead";
    const auto record = participant::describe(Domain::current(), mine);
    return record && record->pid == getpid() ? "" : "the survivor's record is not its own";
  }

  Witness witness_;
  Tag next_ = participant::kNobody;
  SharedArea<std::atomic<Tag>> acknowledged_;
};

TEST_F(TagCrash, TakeATag) {
  expect_intact(taking("taking a tag", [this] { *acknowledged_ = participant::self(); }),
                KillAt::each_system_call);
}

/// Takes a tag step by step as sync/participant.cc does, but uses it before the counter is raised.
void take_tag_too_early(std::atomic<Tag>& acknowledged) {
  const UniqueFd registry = Domain::current().open_registry();
  Tag next = 0;
  if (!internal::read_at(registry.get(), &next, sizeof next, internal::kCounterOffset)) {
    throw std::runtime_error("no counter");
  }
  auto hold =
      FileHold::take(Domain::current().open_live_file(static_cast<int>(next % Domain::kLiveFiles)),
                     internal::kLiveBase + next, FileHold::Mode::write, FileHold::OnFork::drop);
  acknowledged = next;
  const Tag after = next + 1;
  if (!internal::write_at(registry.get(), &after, sizeof after, internal::kCounterOffset)) {
    throw std::runtime_error("the counter can't be written");
  }
}

TEST_F(TagCrash, MutantThatUsesATagBeforeItIsTakenIsFound) {
  expect_found(taking("mutant: tag used before the counter is raised",
                      [this] { take_tag_too_early(*acknowledged_); }),
               "given out again", KillAt::each_system_call);
}

// -------------------------------------------------------------------------------------------------
// Creating a domain

class DomainCrash : public testing::Test {
 protected:
  void TearDown() override { remove_all(); }

  void remove_all() const {
    std::filesystem::remove_all(path_);
    std::filesystem::remove_all(aside_);
  }

  CrashOperation creating(std::string name, std::function<void()> operation) {
    CrashOperation op{.name = std::move(name)};
    op.setup = [this] {
      remove_all();
      *acknowledged_ = 0;
    };
    op.operation = std::move(operation);
    op.survivor = [this](bool completed) -> std::string {
      setenv("SLUICE_DOMAIN", name_.c_str(), 1);  // before the first use in this process
      const std::uint64_t found = Domain::current().incarnation();
      if (*acknowledged_ != 0 && *acknowledged_ != found) return "the domain was created twice";
      if (completed && *acknowledged_ == 0) return "the domain was not created";
      const Tag mine = participant::self();
      return participant::probe(mine) == Liveness::alive ? "" : "no tag can be taken in it";
    };
    return op;
  }

  const std::string name_ = std::getenv("SLUICE_DOMAIN") + std::string("-new");
  const std::string path_ = directory_of(name_);
  const std::string aside_ = path_ + "-aside";
  SharedArea<std::atomic<std::uint64_t>> acknowledged_;
};

TEST_F(DomainCrash, Create) {
  expect_intact(
      creating("creating a domain", [this] { *acknowledged_ = Domain(path_).incarnation(); }),
      KillAt::each_system_call);
}

std::string contents_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST_F(DomainCrash, MutantThatWritesTheRegistryInPlaceIsFound) {
  std::uint64_t incarnation = 0;
  std::string registry;
  CrashOperation op = creating("mutant: registry that is written in place", [&] {
    mkdir(path_.c_str(), 0700);
    for (const auto& file : std::filesystem::directory_iterator(aside_)) {
      const std::string name = file.path().filename().string();
      if (name != "registry-v1") std::filesystem::rename(file.path(), path_ + "/" + name);
    }
    const UniqueFd fd(open((path_ + "/registry-v1").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!internal::write_at(fd.get(), registry.data(), registry.size(), 0)) _exit(1);
    *acknowledged_ = incarnation;
  });
  op.prepare = [&] {
    incarnation = Domain(aside_).incarnation();
    registry = contents_of(aside_ + "/registry-v1");
  };
  expect_found(op, "the survivor threw: read the registry", KillAt::each_system_call);
}

}  // namespace
}  // namespace sluice::tests
