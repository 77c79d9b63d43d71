// SPDX-License-Identifier: Apache-2.0
//
// Crash tests of a queue between processes: kills whoever uses it, everywhere, and demands of what
// is left that it can be explained. Takes an adapter (testkit/queue_adapter.h); where it can carry
// a CheckedItem, tearing is seen. Not for queues of one process, and not in a sanitizer build.
//
//   TEST(MyQueue, SurvivesItsUsers) {
//     EXPECT_EQ(check_step_kill<MyAdapter>(), "");
//     EXPECT_EQ(check_kill_stress<MyAdapter>(), "");
//   }
//
// check_step_kill() kills one process after each instruction of a push, a pop, and of batches where
// there are such, that changes what is shared (testkit/crash.h): alone, beside another one that
// pushes and pops while it is frozen, and with a second one that comes after it and dies, too. Then
// a fresh process pushes an item of its own, takes all that comes out, and fills and empties the
// queue. check_kill_stress() has several producers and consumers killed at random and replaced, all
// at once (testkit/kill_stress.h).
//
// What is demanded. Of items whose push had returned: each comes out once, and whole; unless a pop
// had returned it to one that is dead, when it never comes again. A pop under way may have taken
// its item with it, or may not. The item of a push under way comes out once or never, and whole.
// What comes out is in the order that the adapter names; but an item that a dead one had in hand
// may come at another place. Survivors go on: they find room and items within `patience`, and the
// whole capacity. Nobody writes behind the bytes of a SharedAdapter.
//
// What is not demanded: that a call returns while another process is stopped in the midst of one.
// Of its trial pushes and pops the kit uses those that do not wait.
//
// Units: items, std::chrono::milliseconds. Errors: a text that says what was wrong and where, empty
// if nothing was; one that begins with kNoVerdict says why there is none. std::system_error if the
// machine gives no process or memory. Threads and processes: as step_kill() and kill_stress().
//
// If a process dies here: as there; no child, zombie, descriptor or mapping is left.
//
// Cost: testkit/crash.h. Of a ring in shared memory check_step_kill() takes a second or two, in
// full some fifteen; check_kill_stress() half a second, or two.

#ifndef SLUICE_TESTKIT_QUEUE_CRASH_H_
#define SLUICE_TESTKIT_QUEUE_CRASH_H_

#include <string>

#include "sluice/testkit/checked_item.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_crash_options.h"
#include "sluice/testkit/queue_kill_stress.h"
#include "sluice/testkit/queue_step_kill.h"

namespace sluice::testkit {

/// What can be killed: an adapter that works between processes, of one of the kit's items.
template <class A>
concept CrashAdapter = ProcessAdapter<A> && KitItem<typename A::value_type>;

/// Kills one process at each kill point of a push, a pop, and batches; what is wrong, or nothing.
template <CrashAdapter A>
[[nodiscard]] std::string check_step_kill(const QueueCrashOptions& options = {}) {
  return internal::QueueStepKill<A>(options).run();
}
/// Given an adapter's template, takes the most telling items that it can carry.
template <template <class> class Adapter>
[[nodiscard]] std::string check_step_kill(const QueueCrashOptions& options = {}) {
  return check_step_kill<OfKitItems<Adapter>>(options);
}

/// Kills producers at random, then consumers as well; what is wrong, or nothing.
template <CrashAdapter A>
[[nodiscard]] std::string check_kill_stress(const QueueCrashOptions& options = {}) {
  return internal::QueueKillStress<A>(options).run();
}
/// Given an adapter's template, takes the most telling items that it can carry.
template <template <class> class Adapter>
[[nodiscard]] std::string check_kill_stress(const QueueCrashOptions& options = {}) {
  return check_kill_stress<OfKitItems<Adapter>>(options);
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_CRASH_H_
