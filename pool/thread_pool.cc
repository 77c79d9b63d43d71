// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/thread_pool.h"

#include <algorithm>

#include "sluice/sync/platform.h"

namespace sluice {

std::size_t ThreadPoolOptions::default_threads() noexcept {
  return std::min<std::size_t>(32, static_cast<std::size_t>(usable_cpus()) + 4);
}

ThreadPool::ThreadPool(ThreadPoolOptions options)
    : team_(std::make_shared<internal::ThreadTeam>(
          internal::TeamOptions{.name = std::move(options.name),
                                .max_threads = options.max_threads,
                                .max_queued = options.max_queued,
                                .initializer = std::move(options.initializer)},
          std::move(options.run_callbacks))) {}

ThreadPool::~ThreadPool() {
  if (team_->is_of_this_process()) {
    shutdown();
  } else {
    // Lost on purpose: its lock and its condition variables may be in use by threads that are not
    // in this process.
    static_cast<void>(new std::shared_ptr(std::move(team_)));
  }
}

std::ostream& operator<<(std::ostream& out, const ThreadPool& pool) {
  const internal::ThreadTeam::Counts counts = pool.team_->counts();
  return out << "ThreadPool " << pool.team_->name() << ": " << counts.threads << " of "
             << counts.max_threads << " threads, " << counts.idle << " idle, " << counts.queued
             << " tasks queued, " << (counts.closed ? "shut down" : "open");
}

}  // namespace sluice
