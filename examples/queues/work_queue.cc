// SPDX-License-Identifier: Apache-2.0
//
// A work queue: three workers take jobs and push results. One is killed with a job in its hands:
// the queue and the other workers go on. When all have ended, the jobs that have no result are
// handed out once more.

#include <algorithm>
#include <csignal>
#include <iostream>
#include <list>
#include <map>
#include <vector>

#include "sluice/ipc/queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

struct Result {
  int number, square;
};

namespace {

/// Returns how many workers were killed.
int hand_out(const std::vector<int>& numbers, sluice::Queue<Result>& results, bool first) {
  sluice::Queue<int> jobs(100);
  std::list<sluice::Process> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back("worker", [&] {
      for (const int number : jobs.items()) {
        if (number == 7 && first) raise(SIGKILL);
        if (results.push({number, number * number}) != sluice::Status::ok) return;
      }
    });
  }
  if (jobs.push_each(numbers).status != sluice::Status::ok) return -1;
  jobs.close();
  for (sluice::Process& worker : workers) worker.join();
  return static_cast<int>(std::ranges::count_if(
      workers, [](const sluice::Process& worker) { return worker.exit_code() == -SIGKILL; }));
}

}  // namespace

int main() {
  std::vector<int> missing = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  sluice::Queue<Result> results;
  std::map<int, int> squares;
  for (bool first = true; !missing.empty(); first = false) {
    const int killed = hand_out(missing, results, first);
    Result result = {};
    while (results.try_pop(result) == sluice::Status::ok) squares[result.number] = result.square;
    std::erase_if(missing, [&](int number) { return squares.contains(number); });
    std::cout << killed << " killed, jobs without a result: " << missing.size() << '\n';
  }
  for (const auto& [number, square] : squares) {
    std::cout << number << " * " << number << " = " << square << '\n';
  }
}
