// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/barrier_cases.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/rivals/barriers.h"
#include "sluice/sync/barrier.h"
#include "sluice/sync/barrier_report.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"

namespace sluice::bench {
namespace {

/// As users call it: with a status that is looked at.
class SluiceBarrier {
 public:
  void wait() { check(barrier_.wait(Deadline::never())); }

 protected:
  static void check(BarrierResult all) {
    if (!all) throw std::runtime_error("barrier: " + std::string(to_string(all.status)));
  }
  Barrier<4> barrier_{2};
};

/// With a deadline, and an action that does next to nothing.
class SluiceBarrierWithAction : public SluiceBarrier {
 public:
  void wait() {
    check(barrier_.wait(std::chrono::seconds(10), [this] { ++rounds_; }));
  }

 private:
  std::uint64_t rounds_ = 0;
};

template <class B>
struct Rounds {
  alignas(kNoSharing) B barrier;
  /// The round with which the slice ends; 0 while it is under way.
  alignas(kNoSharing) std::atomic<std::uint64_t> last = 0;

  void lead(Slice& slice) {
    std::uint64_t rounds = 0;
    slice.report(0, 1e9 * slice.seconds_per_call([&] {
      barrier.wait();
      ++rounds;
    }));
    last = rounds + 1;
    barrier.wait();
    while (last != 0) continue;
  }
  void follow() {
    std::uint64_t rounds = 0;
    do {
      barrier.wait();
    } while (++rounds != last);
    last = 0;
  }
};

template <class B>
Variant processes(WaitMode mode) {
  return {"", [mode] {
            auto shared = std::make_shared<InShared<Rounds<B>>>();
            return Roles{[shared, mode](Slice& slice) {
                           set_wait_policy({.mode = mode});
                           (*shared)->lead(slice);
                         },
                         [shared, mode](Slice&) {
                           set_wait_policy({.mode = mode});
                           (*shared)->follow();
                         }};
          }};
}

/// The second thread on another CPU than the one to which the process is pinned.
void leave_this_cpu(int taken) {
  cpu_set_t others;
  CPU_ZERO(&others);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (cpu != taken) CPU_SET(cpu, &others);
  }
  pthread_setaffinity_np(pthread_self(), sizeof others, &others);
}

template <class B>
Variant threads() {
  return {"threads", [] {
            return Roles{[](Slice& slice) {
              auto rounds = std::make_unique<Rounds<B>>();
              std::thread other([&rounds, taken = sched_getcpu()] {
                leave_this_cpu(taken);
                rounds->follow();
              });
              rounds->lead(slice);
              other.join();
            }};
          }};
}

}  // namespace

void add_barrier_cases(Suite& suite) {
  suite.add({.group = "barrier",
             .name = "barrier/two_awake",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {processes<SluiceBarrier>(WaitMode::spin)}},
             {"sluice_action", {processes<SluiceBarrierWithAction>(WaitMode::spin)}},
             {"textbook", {processes<TextbookBarrier>(WaitMode::spin)}},
             {"pthread", {processes<PthreadBarrier>(WaitMode::spin)}},
             {"std", {threads<StdBarrier>()}},
             {"boost_condition", {processes<BoostConditionBarrier>(WaitMode::spin)}}});
  suite.add({.group = "barrier",
             .name = "barrier/two_asleep",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::futex_pingpong},
            {{"sluice", {processes<SluiceBarrier>(WaitMode::block)}},
             {"pthread", {processes<PthreadBarrier>(WaitMode::block)}},
             {"boost_condition", {processes<BoostConditionBarrier>(WaitMode::block)}}});
}

}  // namespace sluice::bench
