// SPDX-License-Identifier: Apache-2.0
//
// SharedMutex, its reader or writer killed everywhere: alone, waiting for the other, and as a
// reader that found no cell.

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/partner.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::CrashOperation;
using testkit::SharedArea;

/// Whether the kernel marks the lock of a dead writer, or the survivors have to find out.
enum class Help : std::uint8_t { kernel, none };

/// Attaches this process, and has the kernel's help refused if that is what is tested.
void help_by(Help help) {
  internal::ThreadState& self = internal::this_thread();
  if (help == Help::none) self.held.watch(nullptr);
}

template <class Lock>
struct Shared {
  Lock lock;
  std::uint64_t first, second;  // equal, but while somebody writes
  std::uint64_t reading;        // 1 while the victim reads
};

/// Only for the compiler: a kill may fall in between.
void step() { std::atomic_signal_fence(std::memory_order_seq_cst); }

template <class Lock>
class SharedLockCrash : public testing::Test {
 protected:
  // No looks, which would all be stepped. Short slices: survivors find out at the end of one.
  SharedLockCrash()
      : slices_({.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}) {}

  void write() {
    area_->lock.lock();
    area_->first = 7;
    step();
    area_->second = 7;
    step();
    area_->lock.unlock();
  }

  void read() {
    area_->lock.lock_shared();
    area_->reading = 1;
    step();
    if (area_->first != area_->second) throw std::logic_error("read while it was written");
    area_->reading = 0;
    step();
    area_->lock.unlock_shared();
  }

  /// What is wrong, or an empty string.
  std::string write_and_inspect(bool may_be_told) {
    const Status status = area_->lock.acquire(2s);
    if (status == Status::owner_died && may_be_told) {
      area_->second = area_->first;
      area_->lock.mark_consistent();
    } else if (status != Status::ok) {
      return "acquire: " + std::string(to_string(status));
    }
    if (area_->first != area_->second) return "half a change, and nobody was told";
    area_->lock.unlock();
    return "";
  }

  std::string read_and_inspect() {
    const Status status = area_->lock.acquire_shared(2s);
    if (status != Status::ok) return "acquire_shared: " + std::string(to_string(status));
    if (area_->first != area_->second) return "half a change, and no reader was told";
    area_->lock.unlock_shared();
    return area_->lock.readers() == 0 ? "" : "a cell is still taken";
  }

  /// Whether a writer and a reader get in; the first may be told of a death if that was a writer's.
  std::string judge(bool may_be_told) {
    std::string wrong = write_and_inspect(may_be_told);
    if (wrong.empty()) wrong = read_and_inspect();
    if (wrong.empty()) wrong = write_and_inspect(false);
    return wrong;
  }

  CrashOperation on_lock(const std::string& name, Help help, std::function<void()> operation) {
    CrashOperation op{.name = name + (help == Help::none ? ", no help" : "")};
    op.shared = {area_.bytes()};
    op.setup = [this] { area_.reset(); };
    op.prepare = [this, help] {
      help_by(help);
      area_->lock.lock();
      area_->lock.unlock();
    };
    op.operation = std::move(operation);
    op.prepare_recovery = [help] { help_by(help); };
    return op;
  }

  CrashOperation reading(const std::string& name) {
    CrashOperation op = on_lock(name, Help::kernel, [this] { read(); });
    op.interfere = [this] {
      const Status status = area_->lock.acquire(15ms);
      if (status == Status::timeout) return;
      if (status != Status::ok) throw std::logic_error("a writer was told of a reader");
      if (area_->reading != 0) throw std::logic_error("a writer and a reader at once");
      area_->lock.unlock();
    };
    op.recover = [this] {
      if (const auto wrong = write_and_inspect(true); !wrong.empty()) throw std::logic_error(wrong);
      if (const auto wrong = read_and_inspect(); !wrong.empty()) throw std::logic_error(wrong);
    };
    // The recoverer writes, and is killed in its turn.
    op.survivor = [this](bool) { return judge(true); };
    return op;
  }

  CrashOperation writing(const std::string& name, Help help) {
    CrashOperation op = on_lock(name, help, [this] { write(); });
    op.interfere = [this] {
      const Status status = area_->lock.acquire_shared(15ms);
      if (status == Status::timeout) return;
      if (status != Status::ok) throw std::logic_error("a living writer was taken for dead");
      if (area_->first != area_->second) throw std::logic_error("a writer and a reader at once");
      area_->lock.unlock_shared();
    };
    op.recover = [this] {
      if (const auto wrong = write_and_inspect(true); !wrong.empty()) throw std::logic_error(wrong);
    };
    op.survivor = [this](bool completed) -> std::string {
      if (completed && area_->first != 7) return "unlocked, but the change is not there";
      return judge(true);
    };
    return op;
  }

  SharedArea<Shared<Lock>> area_;

 private:
  ScopedWaitPolicy slices_;
};

class SharedMutexCrash : public SharedLockCrash<SharedMutex<2>> {};
class NarrowSharedMutexCrash : public SharedLockCrash<SharedMutex<1>> {};

TEST_F(SharedMutexCrash, ReadLockUnlock) { expect_intact(reading("read lock, unlock")); }

/// A reader's death is nobody's concern: not even the first writer after it is told.
TEST_F(SharedMutexCrash, AReadersDeathIsToldNobody) {
  CrashOperation op = reading("read lock, unlock, and nobody is told");
  op.survivor = [this](bool) { return judge(false); };
  op.interfere = op.recover = nullptr;
  expect_intact(op);
}

TEST_F(SharedMutexCrash, NestedReadLock) {
  CrashOperation op = reading("read lock twice, unlock twice");
  op.operation = [this] {
    area_->lock.lock_shared();
    read();
    area_->lock.unlock_shared();
  };
  op.recover = nullptr;  // as above
  expect_intact(op);
}

TEST_F(SharedMutexCrash, WriteLockChangeUnlock) {
  for (const Help help : {Help::kernel, Help::none}) {
    CrashOperation op = writing("write lock, change, unlock", help);
    if (help == Help::none) op.recover = nullptr;  // as above, and slices take their time
    expect_intact(op);
  }
}

/// A repair of what a dead writer has left, killed in its turn.
TEST_F(SharedMutexCrash, RepairOfAMarkedLock) {
  CrashOperation op = writing("write lock with a repair, change, unlock", Help::kernel);
  op.operation = [this] {
    area_->lock.lock([this] { area_->second = area_->first; });
    area_->first = 7;
    step();
    area_->second = 7;
    step();
    area_->lock.unlock();
  };
  op.prepare = [this] {
    const pid_t pid = fork();
    if (pid == 0) {
      area_->lock.lock();
      area_->first = 3;
      _exit(EXIT_SUCCESS);  // with the lock held
    }
    while (area_->first != 3) std::this_thread::yield();
    while (area_->lock.acquire_shared(1ms) != Status::owner_died) continue;
    help_by(Help::kernel);
  };
  op.interfere = nullptr;  // it would be told, while the victim is frozen before it has locked
  op.recover = nullptr;    // as above
  expect_intact(op);
}

/// The only cell is taken by another thread of the victim, which dies with it.
TEST_F(NarrowSharedMutexCrash, ReadLockWithoutACell) {
  CrashOperation op = reading("read lock without a cell, unlock");
  op.prepare = [this] {
    std::thread([this] {
      area_->lock.lock_shared();
      for (;;) pause();
    }).detach();
    while (area_->lock.readers() != 1) std::this_thread::yield();
    help_by(Help::kernel);
  };
  // Beside the one in the cell, which lives, nobody writes, but others read.
  op.interfere = [this] {
    if (area_->lock.try_lock()) throw std::logic_error("a writer and a reader at once");
    const Status status = area_->lock.acquire_shared(15ms);
    if (status == Status::ok) area_->lock.unlock_shared();
    if (status != Status::ok && status != Status::timeout) {
      throw std::logic_error("a reader was told of another");
    }
  };
  op.recover = nullptr;  // as with a cell
  expect_intact(op);
}

/// Who waits is killed: before it sleeps, asleep, woken, inside.
TEST_F(SharedMutexCrash, WriterThatWaitsForAReader) {
  CrashOperation op = writing("write lock that waits for a reader", Help::kernel);
  op.prepare = [] {
    set_wait_policy({.mode = WaitMode::block, .first_slice = 1s, .longest_slice = 1s});
    help_by(Help::kernel);
  };
  op.partner = [this](testkit::Partner& victim) {
    area_->lock.lock_shared();
    victim.wait_until_blocked();
    area_->lock.unlock_shared();
  };
  op.interfere = op.recover = nullptr;
  expect_intact(op);
}

/// As above, but the reader stays: a writer killed while it waits leaves no mark, and readers who
/// come later get in.
TEST_F(SharedMutexCrash, WriterThatWaitsInVain) {
  CrashOperation op = writing("write lock that waits in vain", Help::kernel);
  op.prepare = [this] {
    help_by(Help::kernel);
    const pid_t pid = fork();
    if (pid == 0) {
      setpgid(0, 0);  // not killed with the victim
      area_->lock.lock_shared();
      area_->reading = 1;
      usleep(300'000);
      area_->lock.unlock_shared();
      _exit(EXIT_SUCCESS);
    }
    while (area_->reading == 0) std::this_thread::yield();
  };
  op.operation = [this] {
    if (area_->lock.acquire(10ms) == Status::ok) area_->lock.unlock();
  };
  op.survivor = [this](bool) -> std::string {
    const Status status = area_->lock.acquire_shared(150ms);
    if (status != Status::ok) return "acquire_shared: " + std::string(to_string(status));
    area_->lock.unlock_shared();
    return write_and_inspect(false);
  };
  op.interfere = op.recover = nullptr;
  op.shared = {area_.bytes().first(sizeof(SharedMutex<2>))};
  expect_intact(op);
}

TEST_F(SharedMutexCrash, ReaderThatWaitsForAWriter) {
  CrashOperation op = reading("read lock that waits for a writer");
  op.prepare = [] {
    set_wait_policy({.mode = WaitMode::block, .first_slice = 1s, .longest_slice = 1s});
    help_by(Help::kernel);
  };
  op.partner = [this](testkit::Partner& victim) {
    area_->lock.lock();
    victim.wait_until_blocked();
    area_->lock.unlock();
  };
  op.interfere = op.recover = nullptr;
  expect_intact(op);
}

// -------------------------------------------------------------------------------------------------
// Mutants

/// Takes nobody for dead, as a lock does that counts its readers.
struct TrustingEnv : internal::RealLockEnv {
  static Liveness probe(std::uint32_t) noexcept { return Liveness::alive; }
};

/// Never says that it has begun to write.
struct SecretiveEnv : internal::RealLockEnv {
  template <class T>
  static void store(internal::Word<T>& word, T value, std::memory_order order) noexcept {
    if (sizeof(T) == 4 && value == 1) return;
    internal::RealLockEnv::store(word, value, order);
  }
};

class TrustingMutantCrash : public SharedLockCrash<BasicSharedMutex<TrustingEnv, 2>> {};
class SecretiveMutantCrash : public SharedLockCrash<BasicSharedMutex<SecretiveEnv, 2>> {};

TEST_F(TrustingMutantCrash, ThatNeverAsksForAReadersLifeIsFound) {
  CrashOperation op = reading("mutant: never asks for a reader's life");
  op.interfere = op.recover = nullptr;
  op.survivor = [this](bool) -> std::string {
    return area_->lock.acquire(200ms) == Status::timeout ? "nobody can write any more" : "";
  };
  expect_found(op, "nobody can write any more");
}

TEST_F(SecretiveMutantCrash, ThatForgetsThatAWriterWasWritingIsFound) {
  CrashOperation op = writing("mutant: never says that it writes", Help::kernel);
  op.interfere = op.recover = nullptr;
  expect_found(op, "half a change");
}

TEST_F(SharedMutexCrash, MutantThatLeavesBeforeItHasReadIsFound) {
  CrashOperation op = reading("mutant: unlocks before it has read");
  op.operation = [this] {
    area_->lock.lock_shared();
    area_->reading = 1;
    area_->lock.unlock_shared();
    area_->reading = 0;
  };
  expect_found(op, "a writer and a reader at once");
}

}  // namespace
}  // namespace sluice::tests
