// SPDX-License-Identifier: Apache-2.0
//
// What a child finds that is forked while threads of pool/ are at work: rows EX12, TI5, LG6. Not
// for TSan, whose runtime does not allow it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sluice/pool/future.h"
#include "sluice/pool/log.h"
#include "sluice/pool/log_record.h"
#include "sluice/pool/thread_pool.h"
#include "sluice/pool/timer.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/pool/watched.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

class PoolForkTest : public Watched {};

/// The exit code of a child that runs `body`; one that hangs is killed by its own alarm.
template <class Body>
int code_of_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(body());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << WTERMSIG(status);
  return WEXITSTATUS(status);
}

TEST_F(PoolForkTest, ThreadPool) {  // EX12
  auto pool = std::make_unique<ThreadPool>(2);
  const std::jthread submitter([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) pool->submit([] {}).wait();
  });
  for (int round = 0; round < 50; ++round) {
    ASSERT_EQ(code_of_child([&] {
                try {
                  pool->submit([] {});
                  return 1;
                } catch (const std::logic_error&) {
                  pool.reset();  // does nothing
                  ThreadPool own(1);
                  return own.submit([] { return 42; }).get();
                }
              }),
              42);
  }
}

TEST_F(PoolForkTest, Timer) {  // TI5
  std::atomic<int> calls = 0;
  Timer soon(30ms, [&] { calls++; });
  Timer often = Timer::every(1ms, [&] { calls++; });
  for (int round = 0; round < 20; ++round) {
    ASSERT_EQ(code_of_child([&] {
                const int before = calls;
                if (often.cancel() || often.pending() || !soon.join()) return 1;
                soon.restart();
                int own_calls = 0;
                Timer own(40ms, [&] { ++own_calls; });
                own.join();
                return calls == before && own_calls == 1 ? 42 : 2;
              }),
              42);
  }
  soon.join();
  EXPECT_GT(calls, 1);
}

TEST_F(PoolForkTest, Log) {  // LG6
  const UniqueFd nowhere(open("/dev/null", O_WRONLY | O_CLOEXEC));
  log_to(nowhere.get());
  const auto talk = [](const std::stop_token& stop) {
    for (int n = 0; !stop.stop_requested(); ++n) {
      get_logger("talk" + std::to_string(n % 1000)).info("number ", n, ' ', 0.5);
      if (n % 100 == 0) set_log_process_name("talker");
    }
  };
  std::vector<std::jthread> talkers;
  for (int i = 0; i < 4; ++i) talkers.emplace_back(talk);
  for (int round = 0; round < 500; ++round) {
    ASSERT_EQ(code_of_child([&] {
                set_log_process_name("child");
                get_logger("child" + std::to_string(round)).info("number ", round, ' ', 0.5);
                return 42;
              }),
              42);
  }
  talkers.clear();
  log_to_stderr({.level = LogLevel::off});
  set_log_process_name("MainProcess");
}

}  // namespace
}  // namespace sluice::tests
