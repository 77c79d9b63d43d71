// SPDX-License-Identifier: Apache-2.0
//
// Submits everything, takes results as they come; the first error is thrown again here, and what
// has not begun is cancelled. Ctrl-C cancels as well; a page called ctrl-c presses it.

#include <signal.h>
#include <unistd.h>

#include <csignal>
#include <exception>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/pool/executor.h"
#include "sluice/pool/future.h"
#include "sluice/pool/thread_pool.h"

using sluice::Future;

namespace {
volatile std::sig_atomic_t interrupted = 0;

std::string fetch(const std::string& page) {
  if (page == "ctrl-c") kill(getpid(), SIGINT);
  if (page == "no-such-page") throw std::runtime_error(page + ": not found");
  return page + ": fetched";
}

/// The pages that were fetched before the first failure or Ctrl-C.
std::set<std::string> fetch_all(const std::vector<std::string>& pages) {
  sluice::ThreadPool pool(1);
  std::vector<Future<std::string>> tasks;
  tasks.reserve(pages.size());
  for (const std::string& page : pages) tasks.push_back(pool.submit(fetch, page));
  std::set<std::string> fetched;
  try {
    for (const Future<std::string>& task : sluice::as_completed(tasks)) {
      fetched.insert(task.get());
      if (interrupted != 0) throw std::runtime_error("interrupted");
    }
  } catch (const std::exception& e) {
    pool.shutdown({.cancel_queued = true});
    std::cout << "stopped: " << e.what() << '\n';
  }
  return fetched;
}
}  // namespace

int main() {
  std::signal(SIGINT, [](int) { interrupted = 1; });
  for (const auto& pages : std::vector<std::vector<std::string>>{
           {"a", "b", "c"}, {"a", "no-such-page", "b"}, {"a", "ctrl-c", "b", "c"}}) {
    const std::set<std::string> fetched = fetch_all(pages);
    std::cout << (fetched.size() == pages.size() ? "all" : "not all") << " were fetched\n";
  }
}
