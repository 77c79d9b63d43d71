// SPDX-License-Identifier: Apache-2.0
//
// Three processes work in phases: each fills its part, and the last to come adds the parts up
// before the next phase begins. In the third phase one is killed; the others are told, and stop.

#include "sluice/sync/barrier.h"

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "sluice/ipc/shared.h"
#include "sluice/pool/process.h"
#include "sluice/sync/barrier_report.h"
#include "sluice/sync/status.h"

using namespace std::chrono_literals;

struct Sums {
  static constexpr std::string_view kTypeName = "example.Sums/1";
  sluice::Barrier<> phase_done{3};
  std::array<long, 3> parts{};
  std::array<long, 10> sums{};  // one for each phase that all have finished
  std::atomic<int> told = 0;
};

namespace {

void work(Sums& shared, std::size_t me) {
  if (shared.phase_done.join() != sluice::Status::ok) return;
  for (std::size_t phase = 0; phase < shared.sums.size(); ++phase) {
    if (phase == 2 && me == 1) raise(SIGKILL);
    shared.parts[me] = static_cast<long>(100 * phase + me);
    const sluice::BarrierResult all = shared.phase_done.wait(10s, [&] {
      for (const long part : shared.parts) shared.sums[phase] += part;
    });
    if (all.status == sluice::Status::broken) ++shared.told;
    if (!all) return;
  }
}

}  // namespace

int main() {
  const sluice::Shared<Sums> memory;
  Sums& shared = *memory;
  const auto start = [&](std::size_t me) {
    return sluice::Process("worker", [&shared, me] { work(shared, me); });
  };
  std::array workers = {start(0), start(1), start(2)};
  for (sluice::Process& worker : workers) worker.join();
  std::cout << "finished phases: " << shared.sums[0] << ", " << shared.sums[1] << '\n'
            << "told of the death: " << shared.told << '\n'
            << shared.phase_done << '\n';
  return shared.told == 2 && shared.sums[2] == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
