// SPDX-License-Identifier: Apache-2.0
//
// Strategy: how the next schedule differs from those before. Internal to testkit/scheduler.h, which
// says what each of them is good for.
//
// A schedule is a sequence of choices among a few possibilities. Possibility 0 is always the
// ordinary one: the running thread goes on, a load reads the latest value, nobody dies.
//
// Threads: one. If a process dies here: private memory only. Cost: none worth mentioning.

#ifndef SLUICE_TESTKIT_STRATEGY_H_
#define SLUICE_TESTKIT_STRATEGY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sluice::internal {

/// What a choice other than that of the next thread is about.
enum class Choice : std::uint8_t { value, death };

class Strategy {
 public:
  virtual ~Strategy() = default;

  /// Prepares schedule `number`, from 0, for `threads` threads; false if there is no further one.
  virtual bool begin(std::uint64_t number, unsigned threads) = 0;

  /// Which of `candidates`, at least two, goes next: an index. A candidate is a thread's number;
  /// one that is `threads` or above stands for the timeout of thread candidate - threads. If
  /// `could_go_on`, the first is the thread that runs.
  virtual std::size_t next(std::span<const unsigned> candidates, bool could_go_on) = 0;

  /// Which of n >= 2 possibilities.
  virtual std::size_t choose(Choice what, std::size_t n) = 0;

  /// A thread waits for others by looking again and again.
  virtual void yielded(unsigned /*thread*/) {}

  /// What a user needs to get this schedule again.
  [[nodiscard]] virtual std::string name() const = 0;
};

struct ExhaustiveBounds {
  unsigned preemptions;
  unsigned old_values;
};

std::unique_ptr<Strategy> make_random(std::uint64_t seed);
std::unique_ptr<Strategy> make_pct(std::uint64_t seed, unsigned depth);
std::unique_ptr<Strategy> make_exhaustive(ExhaustiveBounds bounds);
/// Throws std::invalid_argument if `choices` is not what choices_to_text() gives.
std::unique_ptr<Strategy> make_replay(const std::string& choices);

/// "0x12,1,0x3": run lengths, without what is 0 at the end.
std::string choices_to_text(std::span<const std::uint32_t> choices);
std::vector<std::uint32_t> choices_from_text(const std::string& text);

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_STRATEGY_H_
