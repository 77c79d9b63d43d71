// SPDX-License-Identifier: Apache-2.0
//
// TaskBoard: tasks from a process's threads to worker processes and back, each finished once,
// whoever is killed meanwhile: what a pool of processes is built on. Not a queue of values
// (ipc/queue.h), and it starts, watches and ends no process: a supervisor tells it who is dead.
//
//   TaskBoard::format(memory, 1000, sizeof(Job));      // once, before anyone else sees it
//   if (submitter.try_allocate(task) == Status::ok) {  // TaskBoard::Submitter submitter(memory);
//     write(submitter.body(task), job);
//     submitter.post(task, 3);                         // it may be started three times
//   }
//   while (worker.claim(task, 5s) == Status::ok) {     // TaskBoard::Worker worker(memory);
//     run(worker.body(task));
//     worker.commit(task);                             // from now on its result counts
//   }
//   if (collector.collect(task, state, 5s) == Status::ok) submitter.release(task);
//   supervisor.take_over(tag_of_a_dead_worker);        // then its task is ready again
//
// (examples/pools/task_board.cc has it in whole.)
//
// In memory (position-independent; offsets in bytes; who writes it):
//
//     0  tasks u32 | body bytes u32 | phase u32              format(); close(), stop()
//   128  workers' event count u32 | asked u32 | served u32   workers; who finds a ring full
//   256  collectors' event count, the same                   collectors; the same
//   384  submitters' event count u32 | unused u32 | posted u64         submitters
//   512  IndexStack of the free slots                        submitters
//        MpmcRing<u64> of what is ready, 2 tasks + 64 cells  posters, supervisors; workers
//        MpmcRing<u64> of what is finished, the same         workers, who cancels; collectors
//        slot[0] ... slot[tasks - 1], each from a new cache line:
//          word u64 (task_word.h) | attempts u16 | max u16 | unused u32 | body, aligned to 16
//
// The word of a slot is all that counts; the rings say in which order to look. An entry is a slot
// and its life; it is passed over if the word has gone on, so that one too many does no harm, and
// one too few is made up for: who finds a ring full asks its readers to look at all slots, which
// they do when the ring is empty, and each 64th time.
//
// Units: tasks, up to 2^20; bytes of a body, up to 2^30; Deadline. Errors: set-up throws Error;
// post() of 0 attempts throws std::invalid_argument. As Status, what each call says beside it:
//   stale     the task's life is over, or the call does not fit its state
//   full, empty, timeout
//   closed    close() or stop() was called, and there is nothing more to do for this caller
//   busy      in somebody's hands
//   corrupt   bytes that no correct process writes
//   foreign_registry  this process's registry is not the one that knows who else lives
//
// Threads and processes: a Submitter is for all threads of its process. Every other handle is used
// by one thread at a time; there may be any number of each kind, and all calls of different handles
// may overlap. A task is released by a handle of the process that allocated it. A forked child
// makes handles of its own. A process with several threads that work signs all leases with its one
// tag, and loses all of them when it dies.
//
// If a process dies here: the commit of a post is the word's step to ready, that of a task the step
// to done, that of a collect the step to collected. A worker killed before its commit loses the
// lease, by take_over(): the task is ready again, or, if it has been started so often as post()
// allows, dead. So a task may be done several times, and its end is accepted once. What else a dead
// process has begun and not ended is found by its tag, by take_over() too, which may be killed and
// called again. A submitter that dies takes no posted task with it: a further one in another
// process gets the slots as these end, and whoever collects goes on. What was collected dies with
// its collector.
// Nobody waits for the dead, but for the slice of a sleep (sync/wait_policy.h): a death notifies
// nobody, take_over() does. A process that is stopped while it pushes or pops an entry is alive and
// holds up what comes behind it, as in MpmcRing.
//
// Ends: after close() a worker is told `closed` when nothing is ready nor in another process's
// hands (whose death might make it ready); the collector when nothing is allocated, under way or
// uncollected. So release what was allocated and not posted. After stop() workers are told at once;
// the collector gets what is ready as cancelled. Both wait for what a dead worker has, until
// somebody calls take_over().
//
// Hostile bytes: the sizes are copied to private memory and checked when attaching; every slot and
// entry that is read from the memory is checked before it is used; all loops end after as many
// steps as the board has slots, or the ring has cells. A life has 28 bits: an entry that is 2^28
// lives old would be taken for one of now.
//
// Cost: there and back, awake, 15 atomic read-modify-writes (two to take a slot and to give it
// back, one for each ring's end and each step of the word, one for `posted`), and two turns of a
// lock that is private to the submitter's process; no system call. A sleeper costs its waker one
// futex call. Bodies of up to 48 bytes travel in the word's own line.

#ifndef SLUICE_LOCKFREE_TASK_BOARD_H_
#define SLUICE_LOCKFREE_TASK_BOARD_H_

#include <cstddef>
#include <span>

#include "sluice/lockfree/task_collector.h"
#include "sluice/lockfree/task_layout.h"
#include "sluice/lockfree/task_submitter.h"
#include "sluice/lockfree/task_supervisor.h"
#include "sluice/lockfree/task_worker.h"
#include "sluice/sync/lock_env.h"

namespace sluice {

/// What TaskBoard is over an environment, the machine or a test.
template <class Env>
class BasicTaskBoard {
  using View = internal::TaskView<Env>;

 public:
  static constexpr std::size_t kMaxTasks = internal::TaskPlan::kMaxTasks;  ///< 2^20, at a time
  static constexpr std::size_t kMaxBody = internal::TaskPlan::kMaxBody;    ///< 2^30 bytes

  /// try_allocate(), post(), cancel(), release().
  using Submitter = internal::TaskSubmitter<Env>;
  /// claim(), commit().
  using Worker = internal::TaskWorker<Env>;
  /// collect().
  using Collector = internal::TaskCollector<Env>;
  /// take_over(), drain().
  using Supervisor = internal::TaskSupervisor<Env>;

  // Every handle has: body(), state(), holder(), attempts(), counts(), close(), stop().

  /// Bytes for so many tasks at a time, with bodies of so many bytes. The memory must be aligned to
  /// kNoSharing. Throws Error if either is out of range.
  static std::size_t bytes_for(std::size_t tasks, std::size_t body_bytes) {
    return View::bytes_for(tasks, body_bytes);
  }

  /// Makes an empty board in `memory`, before anyone else can see it. Throws Error if it is too
  /// small or not aligned.
  static void format(std::span<std::byte> memory, std::size_t tasks, std::size_t body_bytes) {
    View::format(memory, tasks, body_bytes);
  }
  /// The same, in memory that is all zero: most of it is not touched.
  static void format_zeroes(std::span<std::byte> memory, std::size_t tasks,
                            std::size_t body_bytes) {
    View::format_zeroes(memory, tasks, body_bytes);
  }
};

/// The board that ships.
using TaskBoard = BasicTaskBoard<internal::RealLockEnv>;

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_TASK_BOARD_H_
