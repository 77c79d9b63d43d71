// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/watched_run.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>

#include "sluice/testkit/child.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What the child writes.
struct WatchedBoard {
  static constexpr std::size_t kText = 1 << 15;

  std::atomic<std::uint64_t> begun = 0;  // cases
  char text[kText] = {};
};

void run_all(std::uint64_t cases, const std::function<std::string(std::uint64_t)>& check,
             WatchedBoard& board) {
  for (std::uint64_t n = 0; n < cases; ++n) {
    board.begun = n + 1;
    std::string wrong;
    try {
      wrong = check(n);
    } catch (...) {
      wrong = "threw: " + text_of(std::current_exception());
    }
    if (wrong.empty()) continue;
    board.text[wrong.copy(board.text, WatchedBoard::kText - 1)] = '\0';
    return;
  }
}

/// False if a case takes too long.
bool wait_for_end(const Child& child, milliseconds limit, const WatchedBoard& board) {
  std::uint64_t seen = 0;
  auto since = steady_clock::now();
  while (!child.wait_for_end(milliseconds(50))) {
    const std::uint64_t now = board.begun;
    if (now != seen) since = steady_clock::now();
    seen = now;
    if (steady_clock::now() - since > limit) return false;
  }
  return true;
}

}  // namespace

WatchedRun run_watched(std::uint64_t cases, milliseconds limit,
                       const std::function<std::string(std::uint64_t)>& check) {
  const testkit::SharedArea<WatchedBoard> board;
  Child child([&] { run_all(cases, check, *board); });
  const bool ended = wait_for_end(child, limit, *board);
  child.end();
  WatchedRun run{.wrong = board->text, .has_said = board->text[0] != '\0', .last = 0};
  if (board->begun > 0) run.last = board->begun - 1;
  if (run.has_said) return run;
  if (!ended) {
    run.wrong = "hangs: not ready after " + std::to_string(limit.count()) + " ms";
  } else if (child.status() != 0) {
    run.wrong = "the process " + how_it_ended(child.status());
  }
  return run;
}

}  // namespace sluice::internal
