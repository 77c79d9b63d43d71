// SPDX-License-Identifier: Apache-2.0
//
// InterruptGuard: what Ctrl-C (SIGINT) means while a pool works. Not for other signals, and not for
// programs that have a handler of their own and want to keep it meanwhile.
//
//   int main() {
//     InterruptGuard guard;
//     Pool pool;
//     try {
//       for (auto& r : pool.map(render, frames)) show(r);
//     } catch (const Error& e) {
//       if (e.code() == make_error_code(Status::interrupted)) return InterruptGuard::kExitCode;
//       throw;
//     }
//   }
//
// As long as a guard is there, the first SIGINT does not end the process: every wait for a result
// of a pool (get, map, join, as_completed, a stream's next) ends with Error, Status::interrupted,
// within a slice of its sleep (sync/wait_policy.h). By then what had not begun is cancelled, and
// what runs has had its pool's grace time. A second SIGINT ends the process, as usual; its workers
// go with it. Without a guard the first one does.
//
// Units: none. Errors: none. Threads: guards may nest, and be anywhere; the last one restores what
// the first one has found. If a process dies here: nothing is shared. Cost: two system calls; a
// wait looks at one word.

#ifndef SLUICE_POOL_INTERRUPT_H_
#define SLUICE_POOL_INTERRUPT_H_

namespace sluice {

/// As long as there is one, the first Ctrl-C ends the waits for a pool, and not the process.
class InterruptGuard {
 public:
  /// What a shell makes of a program that SIGINT has ended.
  static constexpr int kExitCode = 130;

  /// Takes SIGINT over, and forgets one that came before; unless another guard has it already.
  InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  /// The last one gives SIGINT back to whatever had it.
  ~InterruptGuard();

  /// Whether SIGINT has come since the first guard was made.
  [[nodiscard]] static bool interrupted() noexcept;
};

}  // namespace sluice

#endif  // SLUICE_POOL_INTERRUPT_H_
