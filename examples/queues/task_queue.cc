// SPDX-License-Identifier: Apache-2.0
//
// Consumers work off a queue of tasks, and join() waits for the last one. A task whose consumer is
// killed comes back to the others; one that kills everybody is put aside.

#include <algorithm>
#include <csignal>
#include <iostream>
#include <list>
#include <string>
#include <vector>

#include "sluice/ipc/joinable_options.h"
#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

using sluice::Status;

int main() {
  constexpr int kPoison = 13;
  sluice::JoinableQueue<int> tasks(20, {.max_attempts = 2});
  sluice::Queue<std::string> results(20);

  const auto consume = [&] {
    while (auto task = tasks.pop()) {
      const int n = **task;
      if (n == kPoison) std::raise(SIGKILL);
      const std::string text =
          std::to_string(n) + " * " + std::to_string(n) + " = " + std::to_string(n * n);
      if (results.push(text) == Status::ok) task->done();
    }
  };
  std::list<sluice::Process> consumers;
  for (int i = 0; i < 4; ++i) consumers.emplace_back("consumer-" + std::to_string(i), consume);

  for (int i = 0; i < 10; ++i) {
    if (tasks.push(i) != Status::ok) return 1;
  }
  if (tasks.push(kPoison) != Status::ok) return 1;
  tasks.join();

  std::vector<std::string> lines;
  if (results.try_pop_each(lines, 20).status != Status::ok) return 1;
  std::sort(lines.begin(), lines.end());
  for (const std::string& line : lines) std::cout << line << '\n';
  for (const auto& letter : tasks.dead_letters()) {
    std::cout << "task " << letter.item << " killed " << letter.attempts << " consumers\n";
  }
  tasks.close();
  int alive = 0;
  for (sluice::Process& consumer : consumers) {
    consumer.join();
    alive += consumer.exit_code() == 0 ? 1 : 0;
  }
  std::cout << alive << " consumers are left\n";
}
