// SPDX-License-Identifier: Apache-2.0
//
// Attaching, and creating the domain to which a process attaches, killed before and after each
// system call. That is every point that matters: both work on files and locks, and the one word
// that is written in between, the registry's counter, lies between two calls. What a process writes
// into its own memory dies with it.
//
// Beside the frozen victim, another process does the same; after it, another is killed while it
// does. Attaching asks for the kernel's help with locks, and so is tried without it as well;
// creating a domain asks for none.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "sluice/sync/domain.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/help.h"
#include "sluice/tests/crash/kill_table.h"
#include "sluice/tests/support/leftovers.h"
#include "sluice/tests/support/no_kernel_help.h"

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
  /// Who took a tag and used it, each once: so no two may have the same.
  struct Taken {
    std::atomic<Tag> by_victim, by_others;
  };

  /// The registry's counter: the tag that the next participant gets.
  static Tag next_tag() {
    const UniqueFd registry(open((own_domain() + "/registry-v1").c_str(), O_RDONLY | O_CLOEXEC));
    Tag next = 0;
    if (!internal::read_at(registry.get(), &next, sizeof next, internal::kCounterOffset)) {
      throw std::runtime_error("can't read the registry's counter");
    }
    return next;
  }

  using TakeATag = std::function<void(std::atomic<Tag>& taken)>;

  CrashOperation taking(const std::string& name, Help help, TakeATag take) {
    CrashOperation op{.name = name + in_words(help)};
    op.setup = [this] {
      next_ = next_tag();
      taken_.reset();
    };
    op.prepare = [help] {
      if (help == Help::none) refuse_kernel_help();
    };
    op.operation = [this, take] { take(taken_->by_victim); };
    op.interfere = [this, take] {
      take(taken_->by_others);
      // The victim is frozen, not dead.
      if (!is_unused(taken_->by_victim) && probe(taken_->by_victim) != Liveness::alive) {
        throw std::logic_error("a frozen participant is not alive");
      }
    };
    op.prepare_recovery = op.prepare;
    op.recover = [this, take] { take(taken_->by_others); };
    op.survivor = [this](bool completed) { return judge(completed); };
    return op;
  }

  static bool is_unused(Tag tag) { return tag == participant::kNobody; }
  static Liveness probe(Tag tag) { return participant::probe(tag); }

  std::string judge(bool completed) const {
    const Tag dead = taken_->by_victim;
    const Tag other = taken_->by_others;
    const Tag mine = participant::self();
    if (mine == witness_.tag()) return "a living participant's tag was given out again";
    if (mine == dead || mine == other || (dead == other && !is_unused(dead))) {
      return "the tag that the dead had taken was given out again";
    }
    if (mine < next_ || mine > next_ + 2) return "more than one number of each was lost";
    if (completed && (dead != next_ || mine == next_)) return "the tag taken was not the next one";
    if (probe(witness_.tag()) != Liveness::alive) return "the living is not alive";
    if (probe(mine) != Liveness::alive) return "the survivor is not alive";
    for (Tag tag = next_; tag != mine; ++tag) {
      if (probe(tag) != Liveness::dead) return "the dead is not dead";
    }
    const auto record = participant::describe(Domain::current(), mine);
    return record && record->pid == getpid() ? "" : "the survivor's record is not its own";
  }

  Witness witness_;
  Tag next_ = participant::kNobody;
  SharedArea<Taken> taken_;
};

/// Attaches, and signs for a first lock.
void attach_and_sign(std::atomic<Tag>& taken) {
  taken = internal::LockWord::tag_of(internal::this_thread().me);
}

TEST_F(TagCrash, Attach) {
  for (const Help help : {Help::kernel, Help::none}) {
    expect_intact(taking("attaching", help, attach_and_sign), KillAt::each_system_call, 1);
  }
}

/// Takes a tag step by step as sync/participant.cc does, but uses it before the counter is raised.
void take_tag_too_early(std::atomic<Tag>& taken) {
  const UniqueFd registry = Domain::current().open_registry();
  Tag next = 0;
  if (!internal::read_at(registry.get(), &next, sizeof next, internal::kCounterOffset)) {
    throw std::runtime_error("no counter");
  }
  auto hold =
      FileHold::take(Domain::current().open_live_file(static_cast<int>(next % Domain::kLiveFiles)),
                     internal::kLiveBase + next, FileHold::Mode::write, FileHold::OnFork::drop);
  taken = next;
  const Tag after = next + 1;
  if (!internal::write_at(registry.get(), &after, sizeof after, internal::kCounterOffset)) {
    throw std::runtime_error("the counter can't be written");
  }
}

TEST_F(TagCrash, MutantThatUsesATagBeforeItIsTakenIsFound) {
  expect_found(
      taking("mutant: tag used before the counter is raised", Help::kernel, take_tag_too_early),
      "given out again", KillAt::each_system_call);
}

/// Waits for the registry, and so for whoever has stopped with it. It is free again once the dead
/// are dead, so that only one who lives, and is frozen, gets in others' way.
void take_tag_alone(std::atomic<Tag>& taken) {
  constexpr off_t kCounterByte = internal::kCounterOffset;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  std::optional<FileHold> alone;
  while (!alone) {
    alone = FileHold::take(Domain::current().open_registry(), kCounterByte, FileHold::Mode::write,
                           FileHold::OnFork::drop);
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error("waits for the frozen");
    if (!alone) usleep(1000);
  }
  attach_and_sign(taken);
}

TEST_F(TagCrash, MutantThatWaitsForTheFrozenIsFound) {
  // Found where it lasts longest: the other points would only take their time.
  testkit::CrashOptions options{.mode = testkit::CrashMode::plain,
                                .kill_at = KillAt::each_system_call,
                                .stop_after_broken = 1};
  const CrashOperation op = taking("mutant: tag taken under a lock", Help::kernel, take_tag_alone);
  testkit::CrashResult result = step_kill(op, options);
  if (result.refused) GTEST_SKIP() << result.error;
  EXPECT_TRUE(result.intact()) << result;
  options.mode = testkit::CrashMode::interference;
  result = step_kill(op, options);
  EXPECT_NE(result.reason.find("waits for the frozen"), std::string::npos) << result;
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

  /// The incarnation of what each has created or found.
  struct Created {
    std::atomic<std::uint64_t> by_victim, by_others;
  };

  /// `create` returns that.
  CrashOperation creating(std::string name, std::function<std::uint64_t()> create) {
    CrashOperation op{.name = std::move(name)};
    op.setup = [this] {
      remove_all();
      created_.reset();
    };
    op.operation = [this, create] { created_->by_victim = create(); };
    op.interfere = [this, create] { created_->by_others = create(); };
    op.recover = op.interfere;
    op.survivor = [this](bool completed) -> std::string {
      Domain::choose(name_);  // before the first use in this process
      const std::uint64_t found = Domain::current().incarnation();
      for (const std::uint64_t one : {created_->by_victim.load(), created_->by_others.load()}) {
        if (one != 0 && one != found) return "the domain was created twice";
      }
      if (completed && created_->by_victim == 0) return "the domain was not created";
      const Tag mine = participant::self();
      return participant::probe(mine) == Liveness::alive ? "" : "no tag can be taken in it";
    };
    return op;
  }

  const std::string name_ = std::getenv("SLUICE_DOMAIN") + std::string("-new");
  const std::string path_ = directory_of(name_);
  const std::string aside_ = path_ + "-aside";
  SharedArea<Created> created_;
};

TEST_F(DomainCrash, Create) {
  expect_intact(creating("creating a domain", [this] { return Domain(path_).incarnation(); }),
                KillAt::each_system_call, 1);
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
    return incarnation;
  });
  op.prepare = [&] {
    incarnation = Domain(aside_).incarnation();
    registry = contents_of(aside_ + "/registry-v1");
  };
  op.interfere = nullptr;  // found without
  op.recover = nullptr;
  expect_found(op, "the survivor threw: read the registry", KillAt::each_system_call);
}

}  // namespace
}  // namespace sluice::tests
