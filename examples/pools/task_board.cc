// SPDX-License-Identifier: Apache-2.0
//
// Numbers are squared by a worker process, which is killed at the third of them. The next worker
// does that one again, and the rest; each comes back once.

#include "sluice/lockfree/task_board.h"

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <iostream>
#include <span>

#include "sluice/ipc/segment.h"
#include "sluice/pool/process.h"

using namespace std::chrono_literals;
using sluice::Status, sluice::Task, sluice::TaskBoard, sluice::TaskState;

int main() {
  const auto number_in = [](std::span<const std::byte> body) {
    long number = 0;
    std::memcpy(&number, body.data(), sizeof number);
    return number;
  };
  sluice::Segment segment = sluice::Segment::create_anonymous(
      {.name = "squares", .version = 1, .fingerprint = 0}, TaskBoard::bytes_for(8, sizeof(long)),
      [](std::span<std::byte> memory) { TaskBoard::format(memory, 8, sizeof(long)); });
  const std::span<std::byte> memory = segment.object();
  TaskBoard::Submitter submitter(memory);
  Task task;
  Task third;
  for (long n = 1; n <= 5 && submitter.try_allocate(task) == Status::ok; ++n) {
    std::memcpy(submitter.body(task).data(), &n, sizeof n);
    if (submitter.post(task, 2) == Status::ok && n == 3) third = task;
  }
  submitter.close();

  const auto work = [&] {
    TaskBoard::Worker worker(memory);
    for (Task mine; worker.claim(mine, 10s) == Status::ok;) {
      const long n = number_in(worker.body(mine));
      const long square = n * n;
      if (n == 3 && worker.attempts(mine) == 1) raise(SIGKILL);
      std::memcpy(worker.body(mine).data(), &square, sizeof square);
      if (worker.commit(mine) != Status::ok) return;
    }
  };
  sluice::Process(work).join();
  std::cout << "after the kill: task 3 is " << submitter.state(third) << '\n';
  if (TaskBoard::Supervisor(memory).take_over(submitter.holder(third)) != Status::ok) return 1;
  std::cout << "taken over: task 3 is " << submitter.state(third) << '\n';
  sluice::Process(work).join();

  TaskBoard::Collector collector(memory);
  for (TaskState state{}; collector.collect(task, state, 10s) == Status::ok;) {
    std::cout << state << ": " << number_in(collector.body(task)) << '\n';
  }
}
