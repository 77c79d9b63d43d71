// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/in_threads.h"

#include <pthread.h>
#include <sched.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/bench/harness/team.h"

namespace sluice::bench {
namespace {

void pin_this_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  const int error = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  if (error != 0) throw std::system_error(error, std::generic_category(), "pin a thread");
}

void run_all(const Roles& roles, const Placement& placement, Slice& slice) {
  std::vector<std::exception_ptr> thrown(roles.size());
  {
    std::vector<std::jthread> threads;
    threads.reserve(roles.size());
    for (std::size_t i = 0; i < roles.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          if (placement.pinned) pin_this_thread(placement.cpus[i % placement.cpus.size()]);
          // Two roles never report the same figure, so that they share the slice.
          roles[i](slice);
        } catch (...) {
          thrown[i] = std::current_exception();
        }
      });
    }
  }
  for (const std::exception_ptr& one : thrown) {
    if (one != nullptr) std::rethrow_exception(one);
  }
}

}  // namespace

Roles in_threads(Roles roles) {
  // A pinned process sees its own CPU only: chosen here, before the fork.
  const auto whole = std::make_shared<std::pair<Roles, Placement>>(std::move(roles), choose_cpus());
  return {[whole](Slice& slice) { run_all(whole->first, whole->second, slice); }};
}

}  // namespace sluice::bench
