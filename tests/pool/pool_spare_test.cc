// SPDX-License-Identifier: Apache-2.0
//
// A pool of a process with much memory keeps one worker in reserve, since its forks take long.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "sluice/ipc/value.h"
#include "sluice/pool/pool.h"
#include "sluice/pool/shared_ref.h"
#include "sluice/pool/this_process.h"
#include "sluice/tests/pool/watched.h"

namespace sluice {
namespace {

using PoolSpareTest = tests::Watched;

pid_t own_pid() { return getpid(); }
pid_t supervisor_pid() { return getppid(); }
std::string own_name() { return this_process::name(); }

std::set<pid_t> children_of(pid_t pid) {
  const std::string number = std::to_string(pid);
  std::ifstream in("/proc/" + number + "/task/" + number + "/children");
  std::set<pid_t> children;
  for (pid_t child = 0; in >> child;) children.insert(child);
  return children;
}

std::string comm_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(in, name);
  return name;
}

/// The child of the supervisor that is no worker, once there is one.
pid_t spare_of(pid_t supervisor) {
  for (;;) {
    for (const pid_t child : children_of(supervisor)) {
      if (comm_of(child) == "much-spare") return child;
    }
    std::this_thread::yield();
  }
}

/// More than a fork's tables are worth, all of it touched.
std::vector<char> much_memory() { return std::vector<char>(std::size_t{64} << 20, 'm'); }

TEST_F(PoolSpareTest, TheSpareTakesADeadWorkersPlaceAndName) {
  const std::vector<char> memory = much_memory();
  Pool pool({.workers = 1, .name = "much"});
  const pid_t supervisor = pool.submit(supervisor_pid).get();
  for (int i = 0; i < 3; ++i) {
    const pid_t spare = spare_of(supervisor);
    kill(pool.submit(own_pid).get(), SIGKILL);
    EXPECT_EQ(pool.submit(own_pid).get(), spare);
    EXPECT_EQ(pool.submit(own_name).get(), "much-1");
    EXPECT_EQ(comm_of(spare), "much-1");
    EXPECT_EQ(pool.pids(), std::vector<pid_t>{spare});
  }
  EXPECT_EQ(memory[memory.size() / 2], 'm');
}

TEST_F(PoolSpareTest, ASpareThatDiesIsRenewed) {
  const std::vector<char> memory = much_memory();
  Pool pool({.workers = 1, .name = "much"});
  const pid_t supervisor = pool.submit(supervisor_pid).get();
  const pid_t worker = pool.submit(own_pid).get();
  const pid_t first = spare_of(supervisor);
  kill(first, SIGKILL);
  while (spare_of(supervisor) == first) std::this_thread::yield();
  EXPECT_EQ(pool.submit(own_pid).get(), worker);
  EXPECT_EQ(memory[memory.size() / 2], 'm');
}

TEST_F(PoolSpareTest, TheSpareEndsWithThePool) {
  const std::vector<char> memory = much_memory();
  pid_t spare = 0;
  {
    Pool pool({.workers = 1, .name = "much"});
    spare = spare_of(pool.submit(supervisor_pid).get());
    pool.close();
    pool.join();
  }
  EXPECT_NE(kill(spare, 0), 0);
  EXPECT_EQ(memory[memory.size() / 2], 'm');
}

/// Processor time that a process has used, in seconds.
double cpu_seconds_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string word;
  while (in >> word && word.back() != ')') continue;
  for (int i = 0; i < 11; ++i) in >> word;
  double user = 0;
  double system = 0;
  in >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// Closed before the spare was due: none is made, and nobody waits for it with open eyes.
TEST_F(PoolSpareTest, ASupervisorThatNeedsNoSpareSleeps) {
  const std::vector<char> memory = much_memory();
  Value<int> go(0);
  Pool pool({.workers = 1, .name = "much"});
  const pid_t supervisor = pool.submit(supervisor_pid).get();
  const auto last = pool.submit([g = shared_ref(go)] { g->wait(0); });
  pool.close();
  const double before = cpu_seconds_of(supervisor);
  std::this_thread::sleep_for(std::chrono::milliseconds(600));  // what is measured
  EXPECT_LT(cpu_seconds_of(supervisor) - before, 0.2);
  go.store(1);
  last.get();
  pool.join();
  EXPECT_EQ(memory[memory.size() / 2], 'm');
}

}  // namespace
}  // namespace sluice
