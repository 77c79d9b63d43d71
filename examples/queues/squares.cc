// SPDX-License-Identifier: Apache-2.0
//
// Two consumers for each core, ten tasks that take a moment, a pill for each consumer, and a join()
// that returns when all of it is done.

#include <algorithm>
#include <chrono>
#include <iostream>
#include <list>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

using namespace std::chrono_literals;
using sluice::Status;

int main() {
  const unsigned consumers = 2 * std::max(1U, std::thread::hardware_concurrency());
  using Item = std::optional<int>;  // none: the pill
  sluice::JoinableQueue<Item> tasks;
  sluice::Queue<std::string> results;
  sluice::Queue<std::string> exits;

  const auto consume = [&](const std::string& name) {
    while (auto task = tasks.pop()) {
      if (const Item item = **task; item) {
        std::this_thread::sleep_for(100ms);
        std::ostringstream text;
        text << *item << " * " << *item << " = " << *item * *item;
        if (results.push(text.str()) != Status::ok) return;
        task->done();
      } else {
        if (exits.push(name + ": Exiting") == Status::ok) task->done();
        return;
      }
    }
  };
  std::list<sluice::Process> processes;
  for (unsigned i = 1; i <= consumers; ++i) {
    const std::string name = "Consumer-" + std::to_string(i);
    processes.emplace_back(name, [&consume, name] { consume(name); });
  }

  bool pushed = true;
  for (int i = 0; i < 10; ++i) pushed = pushed && tasks.push(i) == Status::ok;
  for (unsigned i = 0; i < consumers; ++i)
    pushed = pushed && tasks.push(std::nullopt) == Status::ok;
  tasks.join();

  for (int i = 0; i < 10; ++i) std::cout << "Result: " << *results.pop() << '\n';
  std::cout << (pushed && exits.size() == consumers ? "all are exiting" : "some are missing")
            << '\n';
  for (sluice::Process& process : processes) process.join();
}
