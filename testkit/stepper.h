// SPDX-License-Identifier: Apache-2.0
//
// Internal: a process that is advanced under ptrace, one machine instruction or one system call at
// a time, and looked at in between.
//
// If a process dies here: the stepped one dies with the thread that steps it.

#ifndef SLUICE_TESTKIT_STEPPER_H_
#define SLUICE_TESTKIT_STEPPER_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "sluice/testkit/child.h"

namespace sluice::internal {

/// How far a stepped process has come, written by itself. It lies in shared memory because it must
/// outlive a SIGKILL, and because looking at it after each step costs the parent no system call.
struct Progress {
  std::atomic<std::uint32_t> begun{0};
  std::atomic<std::uint32_t> done{0};
  std::atomic<int> trace_errno{0};
  Words words;
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free &&
                  std::atomic<int>::is_always_lock_free,
              "a lock inside the atomic would be left behind by the dead");

/// What a stepped process runs: `prepare` (or nothing) at full speed, then `body`, step by step.
struct Stepped {
  std::string name;  ///< "the operation": begins the sentences about it
  const std::function<void()>& prepare;
  const std::function<void()>& body;
  bool by_system_call = false;
  /// It is killed when it takes longer, all its steps included.
  std::chrono::milliseconds limit{};
  /// A system call that sleeps so long is one that blocks.
  std::chrono::milliseconds blocked_after{};
};

/// A process under ptrace, stopped whenever step() has returned `stopped`.
class Stepper {
 public:
  enum class Stop : std::uint8_t { stopped, blocked, gone };
  /// Where the kernel looks for robust locks that the dead held: the list's first entry, the
  /// offset of its words, and the one under way.
  using RobustList = std::array<std::uint64_t, 3>;

  Stepper(const Stepped& what, Progress& progress);

  /// Up to where the body's first instruction, or its first system call, is next. False: gone.
  bool run_to_body();
  /// One instruction, or to one side of the next system call. `blocked`: it sleeps in a call; then
  /// only kill() or finish_call() may follow.
  Stop step();
  /// Waits, as long as the victim lives, until the call in which it sleeps has returned.
  Stop finish_call();
  void kill() { child_.end(); }

  /// True if the body has returned.
  [[nodiscard]] bool done() const;
  /// Why a process that is gone went before its time.
  [[nodiscard]] std::string problem() const;

  // Of a stopped process:
  /// The address of the instruction that is next.
  [[nodiscard]] std::uint64_t instruction() const noexcept { return instruction_; }
  /// The next step is (the rest of) a system call.
  [[nodiscard]] bool at_system_call() const noexcept { return at_system_call_; }
  [[nodiscard]] RobustList robust_list() const;
  /// The list's head may have moved: after a system call.
  void find_robust_list();

 private:
  Stop wait_for_step();
  Stop stopped();
  void look();

  std::string name_;
  bool by_system_call_;
  std::chrono::milliseconds blocked_after_;
  Progress& progress_;
  Child child_;
  std::uint64_t instruction_ = 0;
  bool at_system_call_ = false;
  std::uint64_t robust_list_head_ = 0;
  unsigned long pending_signal_ = 0;
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_STEPPER_H_
