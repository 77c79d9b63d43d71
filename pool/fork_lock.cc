// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/fork_lock.h"

#include <pthread.h>

#include <mutex>

namespace sluice::internal {
namespace {

constinit std::mutex g_mutex;

// When the library is loaded: a fork in the middle of a later registration would go without. Once
// per process image; children inherit it.
[[maybe_unused]] const bool kIsHeldAcrossFork =
    pthread_atfork([] { g_mutex.lock(); }, [] { g_mutex.unlock(); }, [] { g_mutex.unlock(); }) == 0;

}  // namespace

ForkLock::ForkLock() : hold_(g_mutex) {}

}  // namespace sluice::internal
