// SPDX-License-Identifier: Apache-2.0
//
// What a child finds that is forked while threads of pool/ are at work: rows EX12, TI5, LG6. Not
// for TSan, whose runtime does not allow it.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>

#include "sluice/pool/future.h"
#include "sluice/pool/thread_pool.h"
#include "sluice/tests/pool/watched.h"

namespace sluice::tests {
namespace {

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

}  // namespace
}  // namespace sluice::tests
