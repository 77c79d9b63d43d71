// SPDX-License-Identifier: Apache-2.0
//
// Internal: Parties: the threads of a check, under watch, so that one that is stuck is a finding.
// A stuck thread can't be joined: what it uses must live as long as it does, so share it.
//
//   auto stage = std::make_shared<Stage>();
//   Parties parties;
//   parties.start([stage](Steps& steps) { stage->queue.pop(stage->out), ++steps; });
//   if (!parties.wait_for_all(2s)) return "pop() sleeps";     // the thread, and the stage, stay
//
// Units: steps are what a body counts. Errors: what a body throws is in threw(). Threads: Parties
// is of one. If a process dies here: its threads end with it. Cost: a thread each.

#ifndef SLUICE_TESTKIT_PARTIES_H_
#define SLUICE_TESTKIT_PARTIES_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sluice::internal {

/// How far a thread has come, for whoever watches it.
using Steps = std::atomic<std::uint64_t>;

class Parties {
 public:
  Parties();
  /// Joins who has ended, and leaves who has not.
  ~Parties();
  Parties(const Parties&) = delete;
  Parties& operator=(const Parties&) = delete;

  void start(std::function<void(Steps&)> body);

  /// False if `party`, by its number from 0, takes longer than that to come so far, or ends before.
  bool wait_for_step(std::size_t party, std::uint64_t step, std::chrono::milliseconds patience);
  /// False if none makes a step for so long, or one has thrown while others are yet at work.
  bool wait_for_all(std::chrono::milliseconds patience);
  /// Until the thread sleeps in the kernel, or a while has passed, as where its waits spin.
  void wait_until_asleep(std::size_t party);

  [[nodiscard]] std::size_t count() const;
  [[nodiscard]] std::uint64_t steps(std::size_t party) const;
  [[nodiscard]] bool has_ended(std::size_t party) const;
  /// What the first of them threw that threw; else an empty string.
  [[nodiscard]] std::string threw() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

/// A small generator of its own per thread: xorshift64*.
class Dice {
 public:
  explicit Dice(std::uint64_t seed)
      : state_(seed * 0x9e37'79b9'7f4a'7c15 + 0x632b'e59b'd9b4'e019) {}

  /// From 0 to n - 1.
  std::uint64_t roll(std::uint64_t n) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545'f491'4f6c'dd1d >> 32) % n;
  }

 private:
  std::uint64_t state_;
};

/// Some time that differs from one to the next: mostly none, at times a few hundred nanoseconds.
void dawdle(Dice& dice);

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_PARTIES_H_
