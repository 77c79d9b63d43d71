// SPDX-License-Identifier: Apache-2.0
//
// Three workers wait, in processes of their own, for jobs that are counted under a lock. One of
// them is killed while it waits; no job is lost on it.

#include "sluice/sync/condition_variable.h"

#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string_view>
#include <vector>

#include "sluice/ipc/shared.h"
#include "sluice/pool/process.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"

struct Office {
  static constexpr std::string_view kTypeName = "example.Office";

  sluice::Mutex mutex;
  sluice::ConditionVariable changed;
  int jobs = 0, done = 0;
  bool closed = false;

  void work() {
    std::unique_lock hold(mutex);
    const auto awaited = [this] { return jobs > 0 || closed; };
    while (changed.wait(hold, awaited) == sluice::Status::ok && jobs > 0) {
      --jobs;
      ++done;
      changed.notify_all();
    }
  }
};

int main() {
  const sluice::Shared<Office> office;
  std::vector<sluice::Process> workers;
  workers.reserve(3);
  for (int i = 0; i < 3; ++i) workers.emplace_back("worker", [&] { office->work(); });
  std::unique_lock hold(office->mutex);
  for (int job = 0; job < 300; ++job) {
    if (job == 100) workers[0].kill();
    if (job == 100) workers[0].join();  // it was asleep, or waiting for the lock that we hold
    ++office->jobs;
    office->changed.notify_one();
    if (office->changed.wait(hold, [&] { return office->jobs == 0; }) != sluice::Status::ok) break;
  }
  office->closed = true;
  office->changed.notify_all();
  hold.unlock();
  for (sluice::Process& worker : workers) worker.join();
  std::cout << "done: " << office->done << " of 300\n"
            << "the first ended with " << workers[0].exit_code().value_or(0) << '\n';
  return office->done == 300 ? EXIT_SUCCESS : EXIT_FAILURE;
}
