// SPDX-License-Identifier: Apache-2.0
//
// Workers fetch pages, one worker for each core; a page that fails is done as well. Ctrl-C during
// the join() stops all of it; a page called ctrl-c presses it.

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <list>
#include <set>
#include <string>
#include <thread>

#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

using sluice::Status;

namespace {
volatile std::sig_atomic_t interrupted = 0;

/// Files stand for the network.
std::string fetch(const std::string& page) {
  if (page == "ctrl-c" && kill(getppid(), SIGINT) == 0) pause();
  return page + (std::ifstream(page).get() < 0 ? ": failed" : ": fetched");
}
}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, [](int) { interrupted = 1; });
  sluice::JoinableQueue<std::string> tasks;
  sluice::Queue<std::string> results;
  std::list<sluice::Process> workers;
  for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i) {
    workers.emplace_back([&] {
      while (auto task = tasks.pop()) {
        if (results.push(fetch(**task)) == Status::ok) task->done();
      }
    });
  }
  const auto join = [&] {
    while (interrupted == 0 && tasks.join(std::chrono::milliseconds(50)) == Status::timeout)
      continue;
  };
  for (const char* const page : {"/proc/version", "/proc/no-such-page", "/proc/stat"}) {
    if (tasks.push(page) != Status::ok) return 1;
  }
  join();
  if (argc > 1 && tasks.push(argv[1]) == Status::ok) join();
  std::set<std::string> sorted;
  for (std::string text; results.try_pop(text) == Status::ok;) sorted.insert(text);
  for (const std::string& text : sorted) std::cout << text << '\n';
  std::cout << (interrupted != 0 ? "Tasks has been stopped!" : "all done") << '\n';
  for (sluice::Process& worker : workers) worker.kill();  // they would wait for more
}
