// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/interrupt.h"

#include <signal.h>

#include <csignal>
#include <mutex>

namespace sluice {
namespace {

/// Written by the handler, and by the first guard before there is one.
volatile std::sig_atomic_t g_interrupted = 0;

struct Guards {
  std::mutex mutex;
  int count = 0;
  struct sigaction before = {};
};

Guards& guards() {
  static Guards all;
  return all;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  Guards& all = guards();
  const std::scoped_lock lock(all.mutex);
  if (all.count++ != 0) return;
  g_interrupted = 0;
  struct sigaction action = {};
  action.sa_handler = [](int) { g_interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, &all.before);
}

InterruptGuard::~InterruptGuard() {
  Guards& all = guards();
  const std::scoped_lock lock(all.mutex);
  if (--all.count == 0) sigaction(SIGINT, &all.before, nullptr);
}

bool InterruptGuard::interrupted() noexcept { return g_interrupted != 0; }

}  // namespace sluice
