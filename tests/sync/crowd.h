// SPDX-License-Identifier: Apache-2.0
//
// A crowd of living participants that all sleep: what it costs to ask after one of them, and what
// their sleep costs the machine.

#ifndef SLUICE_TESTS_SYNC_CROWD_H_
#define SLUICE_TESTS_SYNC_CROWD_H_

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/crash.h"

namespace sluice::tests {

/// So many processes that have attached and wait for an event, and for the death of the test.
class Crowd {
 public:
  static constexpr std::size_t kMost = 4096;

  explicit Crowd(std::size_t count) {
    const Tag watched = participant::self();
    for (std::size_t i = 0; i < count; ++i) {
      const pid_t pid = fork();
      if (pid == 0) sleep(i, watched);
      if (pid == -1) break;
      pids_.push_back(pid);
    }
    for (int i = 0; i < 600 && shared_->attached < pids_.size(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  ~Crowd() {
    for (const pid_t pid : pids_) kill(pid, SIGKILL);
    for (const pid_t pid : pids_) waitpid(pid, nullptr, 0);
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  [[nodiscard]] std::size_t attached() const { return shared_->attached; }
  [[nodiscard]] std::vector<Tag> tags() const {
    return {shared_->tags, shared_->tags + pids_.size()};
  }

  /// CPU time that all of them have used.
  [[nodiscard]] std::chrono::nanoseconds cpu_time() const {
    std::chrono::nanoseconds sum{0};
    for (const pid_t pid : pids_) {
      std::ifstream file("/proc/" + std::to_string(pid) + "/schedstat");
      std::int64_t on_cpu = 0;
      file >> on_cpu;
      sum += std::chrono::nanoseconds(on_cpu);
    }
    return sum;
  }

 private:
  struct Shared {
    EventCount never;
    std::atomic<std::size_t> attached;
    Tag tags[kMost];
  };

  [[noreturn]] void sleep(std::size_t index, Tag watched) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    shared_->tags[index] = participant::self();
    ++shared_->attached;
    static_cast<void>(shared_->never.await(
        Deadline::never(), [] { return false; },
        [&] {
          return participant::probe(watched) == Liveness::dead ? Status::peer_died : Status::ok;
        }));
    _exit(0);
  }

  testkit::SharedArea<Shared> shared_;
  std::vector<pid_t> pids_;
};

/// Prints the time of a probe and the crowd's share of one CPU.
inline void expect_a_crowd_to_be_cheap(std::size_t count) {
  using Clock = std::chrono::steady_clock;
  using Microseconds = std::chrono::duration<double, std::micro>;
  const Crowd crowd(count);
  ASSERT_EQ(crowd.attached(), count);
  const std::vector<Tag> tags = crowd.tags();
  EXPECT_EQ(std::set<Tag>(tags.begin(), tags.end()).size(), count) << "distinct";

  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    const auto start = Clock::now();
    for (const Tag tag : tags) ASSERT_EQ(participant::probe(tag), Liveness::alive);
    best = std::min(best, Microseconds(Clock::now() - start).count() / static_cast<double>(count));
  }
  EXPECT_EQ(participant::probe(tags.back() + 1000000), Liveness::dead);

  const auto start = Clock::now();
  const auto used = crowd.cpu_time();
  std::this_thread::sleep_for(std::chrono::seconds(3));
  const double share = Microseconds(crowd.cpu_time() - used) / Microseconds(Clock::now() - start);
  std::cout << "[    CROWD ] " << count << " processes: " << best << " us per probe, asleep "
            << 100 * share << " % of a CPU\n";
  // Ten times what is expected of a quiet machine.
  EXPECT_LT(best, 30) << "us per probe";
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SYNC_CROWD_H_
