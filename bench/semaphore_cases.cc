// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/semaphore_cases.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/rivals/posix_semaphore.h"
#include "sluice/sync/owned_semaphore.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/wait_policy.h"

namespace sluice::bench {
namespace {

/// Five permits, of which one is in use.
constexpr std::uint32_t kPermits = 5;

template <class S>
Variant alone() {
  return {"", [] {
            auto shared = std::make_shared<InShared<S>>(kPermits);
            return Roles{[shared](Slice& slice) {
              S& semaphore = **shared;
              slice.report(0, 1e9 * slice.seconds_per_call([&] {
                semaphore.acquire();
                semaphore.release();
              }));
            }};
          }};
}

/// Both 0 between two slices.
template <class S>
struct ThereAndBack {
  alignas(kNoSharing) S there{0};
  alignas(kNoSharing) S back{0};
  alignas(kNoSharing) std::atomic<std::uint32_t> ended = 0;
};

/// By a call that waits, in the way that the policy says, or by repeated calls that do not.
template <class S>
void acquire_blocking(S& semaphore) {
  semaphore.acquire();
}
template <class S, Spin kSpin>
void acquire_spinning(S& semaphore) {
  spin_until<kSpin>([&] { return semaphore.try_acquire(); });
}

template <class S>
Variant pingpong(std::string name, WaitMode mode, void (*acquire)(S&)) {
  return {std::move(name), [mode, acquire] {
            auto shared = std::make_shared<InShared<ThereAndBack<S>>>();
            const auto lead = [shared, mode, acquire](Slice& slice) {
              set_wait_policy({.mode = mode});
              ThereAndBack<S>& it = **shared;
              slice.report(0, 1e9 * slice.seconds_per_call([&] {
                it.there.release();
                acquire(it.back);
              }));
              it.ended = 1;
              it.there.release();
              acquire(it.back);
            };
            const auto echo = [shared, mode, acquire](Slice&) {
              set_wait_policy({.mode = mode});
              ThereAndBack<S>& it = **shared;
              for (;;) {
                acquire(it.there);
                if (it.ended == 1) break;
                it.back.release();
              }
              it.ended = 0;
              it.back.release();
            };
            return Roles{lead, echo};
          }};
}

template <class S>
Subject asleep(std::string name) {
  return {std::move(name), {pingpong<S>("", WaitMode::block, acquire_blocking<S>)}};
}

template <class S>
Subject awake(std::string name) {
  return {std::move(name),
          {pingpong<S>("blocking", WaitMode::spin, acquire_blocking<S>),
           pingpong<S>("try", WaitMode::spin, acquire_spinning<S, Spin::bare>),
           pingpong<S>("try_pause", WaitMode::spin, acquire_spinning<S, Spin::pause>)}};
}

}  // namespace

void add_semaphore_cases(Suite& suite) {
  using Owned = OwnedSemaphore<kPermits>;
  suite.add({.group = "semaphore",
             .name = "semaphore/uncontended",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {alone<Semaphore>()}},
             {"sluice_bounded", {alone<BoundedSemaphore>()}},
             {"sluice_owned", {alone<Owned>()}},
             {"sem_t", {alone<PosixSemaphore>()}},
             {"boost_interprocess", {alone<BoostSemaphore>()}}});
  suite.add({.group = "semaphore",
             .name = "semaphore/pingpong_asleep",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::futex_pingpong},
            {asleep<Semaphore>("sluice"), asleep<PosixSemaphore>("sem_t"),
             asleep<BoostSemaphore>("boost_interprocess")});
  suite.add({.group = "semaphore",
             .name = "semaphore/pingpong_awake",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {awake<Semaphore>("sluice"), awake<PosixSemaphore>("sem_t"),
             awake<BoostSemaphore>("boost_interprocess")});
}

}  // namespace sluice::bench
