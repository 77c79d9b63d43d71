// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/observer.h"

#include <atomic>
#include <cerrno>

namespace sluice::internal {
namespace {

constinit std::atomic<Observer> g_observer = nullptr;

void tell(const Incident& incident) noexcept {
  // Relaxed: with set_observer(): a function's address on its own; nothing is published with it.
  const Observer observer = g_observer.load(std::memory_order_relaxed);
  if (observer == nullptr) return;
  const int error = errno;
  observer(incident);
  errno = error;
}

}  // namespace

void set_observer(Observer observer) noexcept {
  // Relaxed: as in tell().
  g_observer.store(observer, std::memory_order_relaxed);
}

void tell_owner_died(std::string_view what, const void* address, Tag owner) noexcept {
  tell({.kind = Incident::Kind::owner_died, .what = what, .address = address, .owner = owner});
}

void tell_stale_removed(std::string_view what, pid_t maker) noexcept {
  tell({.kind = Incident::Kind::stale_removed, .what = what, .maker = maker});
}

}  // namespace sluice::internal
