// SPDX-License-Identifier: Apache-2.0
//
// Processes that sleep for something while a victim is stepped and killed, and go on sleeping while
// those who come after it are killed as well: setup() starts them, so that they outlive all of
// these. (A partner ends before anybody recovers.)
//
//   op.setup = [&] {
//     sleepers.end();  // those of the victim before
//     area.reset();
//     sleepers.start(2, [&] { take_one(); }, [&] { return area->changed.waiting() == 2; });
//   };

#ifndef SLUICE_TESTS_CRASH_SLEEPERS_H_
#define SLUICE_TESTS_CRASH_SLEEPERS_H_

#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "sluice/testkit/shared_area.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {

class Sleepers {
 public:
  static constexpr std::size_t kMost = 3;

  /// Kills and collects them.
  void end() {
    parties_.clear();
    threads_.reset();
  }

  /// Starts `count` that run `body`, and returns once all are asleep and `all_wait()`. Throws
  /// std::runtime_error if that takes too long.
  void start(std::size_t count, const std::function<void()>& body,
             const std::function<bool()>& all_wait) {
    for (std::size_t i = 0; i < count; ++i) {
      parties_.push_back(std::make_unique<ChildParty>([this, i, &body] {
        threads_->at(i) = getpid();
        body();
      }));
    }
    const auto end = std::chrono::steady_clock::now() + kLimit;
    while (!all_wait() || !are_asleep(count)) {
      if (std::chrono::steady_clock::now() > end) throw std::runtime_error("nobody falls asleep");
      sched_yield();
    }
  }

 private:
  static constexpr std::chrono::seconds kLimit{10};

  bool are_asleep(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      if (state_of(threads_->at(i)) != 'S') return false;
    }
    return true;
  }

  testkit::SharedArea<std::array<std::atomic<pid_t>, kMost>> threads_;
  std::vector<std::unique_ptr<ChildParty>> parties_;
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_CRASH_SLEEPERS_H_
