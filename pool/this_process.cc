// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/this_process.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <optional>
#include <ostream>

#include "sluice/pool/fork_lock.h"
#include "sluice/pool/pidfd.h"

namespace sluice {
namespace {

/// Written at a child's start, while it has one thread, and read by all of them later; only the
/// count is under the lock.
struct Self {
  std::string name = "MainProcess";
  std::string number;  ///< "1:2": the second child of the first child; empty in the first process
  bool daemon = false;
  std::optional<ParentProcess> parent;
  int children = 0;
};
constinit internal::Immortal<Self> g_self;

[[maybe_unused]] const bool kForgetsItsParentOnFork = pthread_atfork(nullptr, nullptr, [] {
                                                        g_self.value.parent.reset();
                                                        g_self.value.children = 0;
                                                      }) == 0;

}  // namespace

bool ParentProcess::join(Deadline deadline) const {
  return internal::wait_until_ended(pidfd_.get(), deadline, [this] { return getppid() != pid_; });
}

std::ostream& operator<<(std::ostream& out, const ParentProcess& parent) {
  return out << parent.name_ << " (pid " << parent.pid_
             << (parent.alive() ? "): the parent, alive" : "): the parent, ended");
}

namespace this_process {

const std::string& name() noexcept { return g_self.value.name; }
pid_t pid() noexcept { return getpid(); }
bool daemon() noexcept { return g_self.value.daemon; }

const ParentProcess* parent() noexcept {
  const auto& parent = g_self.value.parent;
  return parent ? &*parent : nullptr;
}

int cpu_count() noexcept {
  return static_cast<int>(std::max<long>(1, sysconf(_SC_NPROCESSORS_ONLN)));
}

int usable_cpu_count() noexcept {
  // The kernel wants room for all processors that it could have: doubled until it is enough.
  constexpr int kMost = 1 << 16;
  for (int room = CPU_SETSIZE; room <= kMost; room *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(
        CPU_ALLOC(static_cast<std::size_t>(room)), [](cpu_set_t* s) { CPU_FREE(s); });
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(room));
    if (set == nullptr) break;
    if (sched_getaffinity(0, bytes, set.get()) == 0) {
      return std::max(1, CPU_COUNT_S(bytes, set.get()));
    }
    if (errno != EINVAL) break;
  }
  return cpu_count();
}

}  // namespace this_process

namespace internal {

void become_child(std::string name, bool daemon, std::string number, ParentProcess parent) {
  Self& self = g_self.value;
  self.name = std::move(name);
  self.daemon = daemon;
  self.number = std::move(number);
  self.parent.emplace(std::move(parent));
}

void rename_process(std::string name) { g_self.value.name = std::move(name); }

std::string next_child_number() {
  const ForkLock lock;
  Self& self = g_self.value;
  const std::string number = std::to_string(++self.children);
  return self.number.empty() ? number : self.number + ":" + number;
}

}  // namespace internal
}  // namespace sluice
