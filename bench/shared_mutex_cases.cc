// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/shared_mutex_cases.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/rivals/boost_sharable_mutex.h"
#include "sluice/bench/rivals/pthread_rwlock.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/shared_mutex.h"

namespace sluice::bench {
namespace {

template <class Lock>
struct Guarded {
  alignas(kNoSharing) Lock lock;
  alignas(kNoSharing) std::uint64_t count = 0;  ///< under the lock
  /// Outside the lock: tells the second process that the slice is over. 1 while it is under way.
  alignas(kNoSharing) std::atomic<std::uint32_t> running = 0;
  /// How often the second process has read.
  alignas(kNoSharing) std::atomic<std::uint64_t> followed = 0;
};

template <class Lock>
std::uint64_t read(Guarded<Lock>& guarded) {
  guarded.lock.lock_shared();
  // Read each time: another process may have written.
  const std::uint64_t count = static_cast<const volatile std::uint64_t&>(guarded.count);
  guarded.lock.unlock_shared();
  return count;
}

template <class Lock>
Variant reading() {
  return {"", [] {
            auto shared = std::make_shared<InShared<Guarded<Lock>>>();
            return Roles{[shared](Slice& slice) {
              Guarded<Lock>& guarded = **shared;
              slice.report(0, 1e9 * slice.seconds_per_call([&] { read(guarded); }));
            }};
          }};
}

/// Two processes read as often as they can. The figure is what both together get done.
template <class Lock>
Variant reading_at_once() {
  return {"", [] {
            auto shared = std::make_shared<InShared<Guarded<Lock>>>();
            const auto lead = [shared](Slice& slice) {
              Guarded<Lock>& guarded = **shared;
              guarded.running = 1;
              Slice::run_for(slice.times().warm_up, [&] { read(guarded); });
              std::uint64_t mine = 0;
              const std::uint64_t first = guarded.followed;
              const Clock::time_point begin = Clock::now();
              Slice::run_for(slice.times().measured, [&] {
                read(guarded);
                ++mine;
              });
              const std::uint64_t others = guarded.followed - first;
              const std::chrono::duration<double> time = Clock::now() - begin;
              slice.report(0, static_cast<double>(mine + others) / time.count() * 1e-6);
              guarded.running = 2;
            };
            const auto follow = [shared](Slice&) {
              Guarded<Lock>& guarded = **shared;
              while (guarded.running == 0) continue;
              constexpr std::uint64_t kBlock = 64;  // counted at once
              std::uint64_t count = guarded.followed;
              while (guarded.running == 1) {
                for (std::uint64_t i = 0; i < kBlock; ++i) read(guarded);
                // Relaxed: a number for the other process.
                guarded.followed.store(count += kBlock, std::memory_order_relaxed);
              }
              guarded.running = 0;
            };
            return Roles{lead, follow};
          }};
}

template <class Lock>
Variant writing() {
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

}  // namespace

void add_shared_mutex_cases(Suite& suite) {
  using Ours = SharedMutex<>;
  suite.add({.group = "shared_mutex",
             .name = "shared_mutex/read",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {reading<Ours>()}},
             {"pthread", {reading<PthreadRwlock>()}},
             {"boost_interprocess", {reading<BoostSharableMutex>()}}});
  suite.add({.group = "shared_mutex",
             .name = "shared_mutex/read2",
             .unit = "Mlock/s",
             .better = Better::higher,
             .limit = Yardstick::reference_ring},
            {{"sluice", {reading_at_once<Ours>()}},
             {"pthread", {reading_at_once<PthreadRwlock>()}},
             {"boost_interprocess", {reading_at_once<BoostSharableMutex>()}}});
  suite.add({.group = "shared_mutex",
             .name = "shared_mutex/write",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {writing<Ours>()}},
             {"pthread", {writing<PthreadRwlock>()}},
             {"boost_interprocess", {writing<BoostSharableMutex>()}}});
}

}  // namespace sluice::bench
