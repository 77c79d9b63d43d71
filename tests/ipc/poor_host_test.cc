// SPDX-License-Identifier: Apache-2.0
//
// Hosts that give less than sluice would like: kernels and seccomp filters that refuse a system
// call, no directory for a domain, a domain that somebody cleans while it is in use. The test's own
// process never attaches: its children do.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "sluice/ipc/pipe.h"
#include "sluice/pool/process.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/own_domain.h"
#include "sluice/tests/support/refused_call.h"
#include "sluice/tests/sync/living_child.h"

namespace sluice::tests {
namespace {

namespace fs = std::filesystem;
using participant::probe;
using participant::self;
using testing::AllOf;
using testing::HasSubstr;
using testkit::SharedArea;
using namespace std::chrono_literals;

// -------------------------------------------------------------------------------------------------
// What must work

void see_who_lives() {
  Child living;
  Child dying;
  EXPECT_EQ(probe(self()), Liveness::alive);
  EXPECT_EQ(probe(living.tag()), Liveness::alive);
  EXPECT_EQ(probe(dying.tag()), Liveness::alive);
  dying.end(SIGKILL);
  EXPECT_EQ(probe(dying.tag()), Liveness::dead);
  EXPECT_EQ(probe(living.tag()), Liveness::alive);
}

/// The child is still there when its parent is gone.
void see_a_dead_parent_as_dead() {
  SharedNumbers grandchild;
  Gate forked;
  Child child([&] {
    if (fork() == 0) {
      // Its fork handlers have run, which where madvise(2) is refused let go of the parent's lock.
      grandchild[0] = static_cast<std::uint32_t>(getpid());
      forked.open();
    }
    for (;;) pause();
  });
  forked.wait();
  child.end(SIGKILL);
  EXPECT_EQ(probe(child.tag()), Liveness::dead);
  kill(static_cast<pid_t>(grandchild[0].load()), SIGKILL);
}

void wait_and_wake() {
  struct Both {
    EventCount there;
    EventCount back;
    std::atomic<int> ball = 0;
  };
  SharedArea<Both> both;
  const auto hopeful = [] { return Status::ok; };
  constexpr int kRounds = 200;
  ChildParty child([&] {
    attach();
    for (int i = 1; i < kRounds; i += 2) {
      ASSERT_EQ(both->there.await(20s, [&] { return both->ball == i; }, hopeful), Status::ok);
      both->ball = i + 1;
      both->back.notify_all();
    }
  });
  attach();
  for (int i = 0; i < kRounds; i += 2) {
    ASSERT_EQ(both->back.await(20s, [&] { return both->ball == i; }, hopeful), Status::ok);
    both->ball = i + 1;
    both->there.notify_all();
  }
  child.finish();
}

void send_to_a_child() {
  Pipe pipe = Pipe::create(1 << 12);
  ChildParty child([&] {
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(pipe.sender.send(i), Status::ok);
  });
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(pipe.receiver.recv<int>(), i);
  child.finish();
  int none = 0;
  EXPECT_EQ(pipe.receiver.recv(none, 20s), Status::peer_died) << "it ended by _exit";
}

void send_by_name_and_replace_a_stale_one() {
  {
    Child killed([] {
      Receiver* const leaked = new Receiver(Receiver::create("orders", 1 << 12));
      static_cast<void>(leaked);
      kill(getpid(), SIGKILL);
    });
    killed.end(0);
  }
  {
    Receiver rx = Receiver::create("orders", 1 << 12);
    EXPECT_THROW(Receiver::create("orders", 1 << 12), Error) << "in use";
    ChildParty child([] {
      Sender tx = Sender::open("orders");
      for (int i = 0; i < 1000; ++i) ASSERT_EQ(tx.send(i), Status::ok);
    });
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(rx.recv<int>(), i);
    child.finish();
  }
  for (const auto& entry : fs::directory_iterator(Domain::current().path())) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(name.starts_with("registry-") || name.starts_with("live-")) << name << " is left";
  }
}

void run_a_process() {
  Process child("child", [] { _exit(7); });
  EXPECT_TRUE(child.join(20s));
  EXPECT_EQ(child.exit_code(), 7);
}

struct Office {
  Mutex mutex;
  ConditionVariable changed;
  int jobs;
};

void take_a_lock_from_the_dead_and_wait_under_it() {
  const testkit::SharedArea<Office> office;
  ChildParty owner([&] { office->mutex.lock(); });
  owner.finish();
  ASSERT_EQ(office->mutex.acquire(20s), Status::owner_died);
  office->mutex.mark_consistent();
  office->mutex.unlock();

  ChildParty waiter([&] {
    std::unique_lock hold(office->mutex);
    EXPECT_EQ(office->changed.wait_for(hold, 20s, [&] { return office->jobs == 1; }), Status::ok);
  });
  while (office->changed.waiting() == 0) sched_yield();
  office->mutex.lock();
  office->jobs = 1;
  office->changed.notify_one();
  office->mutex.unlock();
  waiter.finish();
}

struct Feature {
  const char* name;
  void (*use)();
};

const std::vector<Feature> kFeatures = {
    {"liveness", see_who_lives},
    {"fork", see_a_dead_parent_as_dead},
    {"event count", wait_and_wake},
    {"pipe", send_to_a_child},
    {"named pipe", send_by_name_and_replace_a_stale_one},
    {"process", run_a_process},
    {"lock", take_a_lock_from_the_dead_and_wait_under_it},
};

// -------------------------------------------------------------------------------------------------
// System calls that are refused

struct Refusal {
  const char* name;
  std::vector<RefusedCall> calls;
};

std::ostream& operator<<(std::ostream& out, const Refusal& r) { return out << r.name; }

constexpr RefusedCall kNoTmpfile = {
    .number = SYS_openat, .error = EOPNOTSUPP, .bits = O_TMPFILE & ~O_DIRECTORY, .argument = 2};
constexpr long kFutexWaitv = 449;

const std::vector<Refusal> kRefusals = {
    {"nothing", {}},
    {"get_robust_list", {{SYS_get_robust_list, ENOSYS}}},
    {"membarrier", {{SYS_membarrier, ENOSYS}}},
    {"membarrier_EPERM", {{SYS_membarrier, EPERM}}},
    {"pidfd_open", {{SYS_pidfd_open, ENOSYS}}},
    {"futex_waitv", {{kFutexWaitv, ENOSYS}}},
    {"memfd_create", {{SYS_memfd_create, ENOSYS}}},
    {"memfd_create_EPERM", {{SYS_memfd_create, EPERM}}},
    {"O_TMPFILE", {kNoTmpfile}},
    {"linkat", {{SYS_linkat, EPERM}}},
    {"linkat_ENOSYS", {{SYS_linkat, ENOSYS}}},
    {"madvise", {{SYS_madvise, ENOSYS}}},
    {"madvise_EPERM", {{SYS_madvise, EPERM}}},
    {"all",
     {{SYS_get_robust_list, EPERM},
      {SYS_pidfd_open, EPERM},
      {SYS_membarrier, EPERM},
      {kFutexWaitv, EPERM},
      {SYS_memfd_create, EPERM},
      kNoTmpfile,
      {SYS_linkat, EPERM},
      {SYS_madvise, EPERM}}},
};

class RefusedCalls : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedCalls, ChangeNoResult) {
  for (const Feature& feature : kFeatures) {
    SCOPED_TRACE(feature.name);
    const OwnDomain own;
    ChildParty child([&] {
      refuse_calls(GetParam().calls);
      own.enter();
      feature.use();
    });
    child.finish();
  }
}

INSTANTIATE_TEST_SUITE_P(Each, RefusedCalls, testing::ValuesIn(kRefusals),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(RefusedCall, OfPidfdOpenLeavesAProcessWhatItIs) {
  const OwnDomain own;
  ChildParty child([&] {
    refuse_calls({{SYS_pidfd_open, ENOSYS}});
    own.enter();
    Process sleeper([] {
      for (;;) pause();
    });
    EXPECT_EQ(sleeper.sentinel(), -1);
    EXPECT_TRUE(sleeper.alive());
    EXPECT_FALSE(sleeper.join(20ms));
    sleeper.terminate();
    EXPECT_TRUE(sleeper.join(20s));
    EXPECT_EQ(sleeper.exit_code(), -SIGTERM);
    EXPECT_NO_THROW(sleeper.kill());
    Process exits([] { _exit(7); });
    while (exits.alive()) continue;
    EXPECT_NO_THROW(exits.kill());
    exits.join();
    EXPECT_EQ(exits.exit_code(), 7);
  });
  child.finish();
}

TEST(RefusedCall, LeavesNoUnfinishedObjectBehindForEver) {
  const OwnDomain own;
  ChildParty child([&] {
    refuse_calls({kNoTmpfile});
    own.enter();
    attach();
    // What a maker that was killed left, and one that is at work.
    Child dead;
    const Tag gone = dead.tag();
    dead.end(SIGKILL);
    const std::string stale = own.path() + "/new-" + std::to_string(gone) + "-0";
    const std::string fresh = own.path() + "/new-" + std::to_string(self()) + "-999";
    for (const std::string& file : {stale, fresh}) std::ofstream(file) << "half";
    const Receiver rx = Receiver::create("orders", 1 << 12);
    EXPECT_FALSE(fs::exists(stale));
    EXPECT_TRUE(fs::exists(fresh));
    fs::remove(fresh);
  });
  child.finish();
}

// -------------------------------------------------------------------------------------------------
// No directory

void use_without_names() {
  for (const Feature& feature : kFeatures) {
    if (std::string(feature.name) == "named pipe") continue;
    SCOPED_TRACE(feature.name);
    feature.use();
  }
}

void expect_names_refused() {
  EXPECT_FALSE(Domain::current().has_directory());
  try {
    const Receiver rx = Receiver::create("orders", 1 << 12);
    ADD_FAILURE() << "there is no directory for it";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), std::errc::operation_not_supported);
    EXPECT_THAT(e.what(), AllOf(HasSubstr(Domain::current().path()), HasSubstr("without names")));
  }
  EXPECT_THROW(Sender::open("orders"), Error);
}

class NoDirectory : public testing::TestWithParam<int> {};

TEST_P(NoDirectory, LeavesObjectsWithoutNames) {
  const OwnDomain own;
  ChildParty child([&] {
    refuse_calls({{SYS_mkdir, GetParam()}, {SYS_mkdirat, GetParam()}});
    own.enter();
    attach();
    const std::uint64_t incarnation = Domain::current().incarnation();
    expect_names_refused();
    use_without_names();
    ChildParty heir([&] { EXPECT_EQ(Domain::current().incarnation(), incarnation); });
    heir.finish();
  });
  child.finish();
  EXPECT_FALSE(fs::exists(own.path()));
}

INSTANTIATE_TEST_SUITE_P(Why, NoDirectory, testing::Values(EROFS, EACCES));

/// Runs `body` in a child whose /dev/shm is what `mount` makes of it; skips if that is refused.
void with_dev_shm(const std::function<bool()>& mount_it, const std::function<void()>& body) {
  SharedNumbers refused;
  ChildParty child([&] {
    const std::string id = std::to_string(getuid());
    if (unshare(CLONE_NEWNS) != 0) {
      if (unshare(CLONE_NEWNS | CLONE_NEWUSER) == 0) {
        std::ofstream("/proc/self/uid_map") << id << ' ' << id << " 1";
      }
    }
    if (mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 || !mount_it()) {
      refused[0] = 1;
      return;
    }
    body();
  });
  child.finish();
  if (refused[0] == 1) GTEST_SKIP() << "this user may mount nothing";
}

TEST(NoDirectoryMounted, ReadOnly) {
  const OwnDomain own;
  with_dev_shm([] { return mount("ro", "/dev/shm", "tmpfs", MS_RDONLY, nullptr) == 0; },
               [&] {
                 own.enter();
                 expect_names_refused();
                 use_without_names();
               });
}

TEST(NoDirectoryMounted, ReadOnlyWithADomainInIt) {
  const OwnDomain own;
  with_dev_shm(
      [&] {
        return mount("shm", "/dev/shm", "tmpfs", 0, nullptr) == 0 &&
               mkdir(own.path().c_str(), 0700) == 0 &&
               mount("", "/dev/shm", nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
      },
      [&] {
        own.enter();
        expect_names_refused();
        see_who_lives();
      });
}

TEST(NoDirectoryMounted, NoDevShmAtAll) {
  const OwnDomain own;
  with_dev_shm([] { return mount("dev", "/dev", "tmpfs", 0, nullptr) == 0; },
               [&] {
                 own.enter();
                 expect_names_refused();
                 use_without_names();
               });
}

TEST(NoDirectoryClosed, AHostThatClosesAllDescriptorsIsToldWhatItLost) {
  const OwnDomain own;
  ChildParty child([&] {
    refuse_calls({{SYS_mkdir, EROFS}});
    own.enter();
    attach();
    Child living;
    const pid_t pid = fork();
    if (pid == 0) {
      closefrom(3);
      // Known to nobody any more, so nobody is declared dead; and a new life can't be had.
      if (probe(living.tag()) != Liveness::unknown) _exit(1);
      try {
        attach();
        _exit(2);
      } catch (const Error& e) {
        _exit(e.code() == Status::registry_lost ? 0 : 3);
      }
    }
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
    EXPECT_EQ(probe(living.tag()), Liveness::alive);
  });
  child.finish();
}

// -------------------------------------------------------------------------------------------------
// A domain that is cleaned while it is in use

TEST(CleanedDomain, TheLivingGoOnAndNamesAreRefused) {
  const OwnDomain own;
  ChildParty child([&] {
    own.enter();
    Receiver rx = Receiver::create("orders", 1 << 12);
    Gate cleaned;
    Child sender([&] {
      Sender tx = Sender::open("orders");
      if (tx.send(1) != Status::ok) _exit(1);
      cleaned.wait();
      if (tx.send(2) != Status::ok) _exit(2);
      for (;;) pause();
    });
    EXPECT_EQ(rx.recv<int>(), 1);
    fs::remove_all(own.path());
    cleaned.open();
    EXPECT_EQ(rx.recv<int>(), 2);
    sender.end(SIGKILL);
    int none = 0;
    EXPECT_EQ(rx.recv(none, 20s), Status::peer_died) << "nobody waits for ever";
    for (const auto& use :
         {std::function<void()>([] { Receiver::create("orders2", 1 << 12); }),
          std::function<void()>([] { Sender::open("orders"); }),
          std::function<void()>([] { Sender::open_or_create("orders3", 1 << 12); })}) {
      try {
        use();
        ADD_FAILURE() << "a name that nobody could find";
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Status::registry_lost);
      }
    }
  });
  child.finish();
}

// -------------------------------------------------------------------------------------------------
// Core dumps

TEST(CoreDump, LeavesSegmentsOut) {
  const OwnDomain own;
  ChildParty child([&] {
    own.enter();
    const Receiver named = Receiver::create("orders", 1 << 20);
    const Pipe anonymous = Pipe::create(1 << 20);
    int segments = 0;
    bool in_segment = false;
    std::ifstream maps("/proc/self/smaps");
    for (std::string line; std::getline(maps, line);) {
      if (line.find("-") < line.find(' ')) {
        in_segment = line.find(own.path()) != std::string::npos ||
                     line.find("/memfd:sluice-pipe") != std::string::npos || in_segment;
      }
      if (in_segment && line.starts_with("VmFlags:")) {
        // Not the mappings that only keep a lock, which nobody may read.
        if (line.find(" rd wr") != std::string::npos) {
          ++segments;
          EXPECT_THAT(line, HasSubstr(" dd")) << "MADV_DONTDUMP";
        }
        in_segment = false;
      }
    }
    EXPECT_GE(segments, 2);
  });
  child.finish();
}

}  // namespace
}  // namespace sluice::tests
