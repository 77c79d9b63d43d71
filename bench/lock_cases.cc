// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/lock_cases.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/rivals/boost_lock.h"
#include "sluice/bench/rivals/pthread_lock.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/wait_policy.h"

namespace sluice::bench {
namespace {

/// The lock and what it protects, on one line, as users have it.
template <class Lock>
struct alignas(kNoSharing) Guarded {
  Lock lock;
  std::uint64_t count = 0;
  /// Outside the lock: tells the second process that the slice is over. 1 while it is under way.
  alignas(kNoSharing) std::atomic<std::uint32_t> running = 0;
};

template <class Lock>
Variant alone() {
  return {"", [] {
            auto shared = std::make_shared<InShared<Guarded<Lock>>>();
            return Roles{[shared](Slice& slice) {
              Guarded<Lock>& guarded = **shared;
              slice.report(0, 1e9 * slice.seconds_per_call([&] {
                guarded.lock.lock();
                ++guarded.count;
                guarded.lock.unlock();
              }));
            }};
          }};
}

/// Two processes take the lock as often as they can. The figure is what both together get done.
template <class Lock>
Variant contended() {
  return {"", [] {
            auto shared = std::make_shared<InShared<Guarded<Lock>>>();
            const auto step = [](Guarded<Lock>& guarded) {
              guarded.lock.lock();
              const std::uint64_t count = ++guarded.count;
              guarded.lock.unlock();
              return count;
            };
            const auto lead = [shared, step](Slice& slice) {
              Guarded<Lock>& guarded = **shared;
              guarded.running = 1;
              Slice::run_for(slice.times().warm_up, [&] { step(guarded); });
              const std::uint64_t first = step(guarded);
              const Clock::time_point begin = Clock::now();
              Slice::run_for(slice.times().measured, [&] { step(guarded); });
              const std::uint64_t last = step(guarded);
              const std::chrono::duration<double> time = Clock::now() - begin;
              slice.report(0, static_cast<double>(last - first) / time.count() * 1e-6);
              guarded.running = 2;
            };
            const auto follow = [shared, step](Slice&) {
              Guarded<Lock>& guarded = **shared;
              while (guarded.running == 0) continue;
              while (guarded.running == 1) step(guarded);
              guarded.running = 0;
            };
            return Roles{lead, follow};
          }};
}

template <class Lock, class Condition>
struct alignas(kNoSharing) Turns {
  Lock lock;
  Condition condition;
  std::uint32_t turn = kLead;

  static constexpr std::uint32_t kLead = 0, kEcho = 1, kEnd = 2;
};

template <class Lock, class Condition>
Variant turns(WaitMode mode) {
  using T = Turns<Lock, Condition>;
  return {"", [mode] {
            auto shared = std::make_shared<InShared<T>>();
            const auto pass_on = [](T& turns, std::uint32_t to, std::uint32_t mine) {
              turns.lock.lock();
              turns.turn = to;
              turns.condition.notify_one();
              static_cast<void>(turns.condition.wait(
                  turns.lock, [&] { return turns.turn == mine || turns.turn == T::kEnd; }));
              const bool ended = turns.turn == T::kEnd;
              turns.lock.unlock();
              return !ended;
            };
            const auto lead = [shared, pass_on, mode](Slice& slice) {
              set_wait_policy({.mode = mode});
              T& turns = **shared;
              slice.report(
                  0, 1e9 * slice.seconds_per_call([&] { pass_on(turns, T::kEcho, T::kLead); }));
              turns.lock.lock();
              turns.turn = T::kEnd;
              turns.condition.notify_one();
              static_cast<void>(
                  turns.condition.wait(turns.lock, [&] { return turns.turn == T::kLead; }));
              turns.lock.unlock();
            };
            const auto echo = [shared, pass_on, mode](Slice&) {
              set_wait_policy({.mode = mode});
              T& turns = **shared;
              turns.lock.lock();
              static_cast<void>(
                  turns.condition.wait(turns.lock, [&] { return turns.turn != T::kLead; }));
              bool goes_on = turns.turn == T::kEcho;
              turns.lock.unlock();
              while (goes_on) goes_on = pass_on(turns, T::kLead, T::kEcho);
              turns.lock.lock();
              turns.turn = T::kLead;
              turns.condition.notify_one();
              turns.lock.unlock();
            };
            return Roles{lead, echo};
          }};
}

}  // namespace

void add_lock_cases(Suite& suite) {
  using Plain = PthreadMutex<Robust::no>;
  using Robustly = PthreadMutex<Robust::yes>;
  suite.add({.group = "mutex",
             .name = "mutex/uncontended",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {alone<Mutex>()}},
             {"pthread", {alone<Plain>()}},
             {"pthread_robust", {alone<Robustly>()}},
             {"boost_interprocess", {alone<BoostMutex>()}}});
  suite.add({.group = "recursive_mutex",
             .name = "recursive_mutex/uncontended",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {alone<RecursiveMutex>()}},
             {"pthread", {alone<PthreadMutex<Robust::no, PTHREAD_MUTEX_RECURSIVE>>()}},
             {"boost_interprocess", {alone<BoostRecursiveMutex>()}}});
  suite.add({.group = "mutex",
             .name = "mutex/contended",
             .unit = "Mlock/s",
             .better = Better::higher,
             .limit = Yardstick::reference_ring},
            {{"sluice", {contended<Mutex>()}},
             {"pthread", {contended<Plain>()}},
             {"pthread_robust", {contended<Robustly>()}},
             {"boost_interprocess", {contended<BoostMutex>()}}});
  suite.add({.group = "condvar",
             .name = "condvar/pingpong_asleep",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::futex_pingpong},
            {{"sluice", {turns<Mutex, ConditionVariable>(WaitMode::block)}},
             {"pthread", {turns<Plain, PthreadCondition>(WaitMode::block)}},
             {"pthread_robust", {turns<Robustly, PthreadCondition>(WaitMode::block)}},
             {"boost_interprocess", {turns<BoostMutex, BoostCondition>(WaitMode::block)}}});
  suite.add({.group = "condvar",
             .name = "condvar/pingpong_awake",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {turns<Mutex, ConditionVariable>(WaitMode::spin)}},
             {"pthread", {turns<Plain, PthreadCondition>(WaitMode::spin)}},
             {"boost_interprocess", {turns<BoostMutex, BoostCondition>(WaitMode::spin)}}});
}

}  // namespace sluice::bench
