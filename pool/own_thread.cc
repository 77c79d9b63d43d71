// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/own_thread.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

#include "sluice/sync/error.h"
#include "sluice/sync/process_state.h"

namespace sluice::internal {
namespace {

/// A thread inherits the mask of the one that starts it.
class BlockSignals {
 public:
  BlockSignals() noexcept {
    sigset_t most;
    sigfillset(&most);
    // What a thread brings upon itself is its own.
    for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
      sigdelset(&most, number);
    }
    pthread_sigmask(SIG_BLOCK, &most, &before_);
  }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_ = {};
};

constexpr std::size_t kLongestName = 15;

}  // namespace

OwnThread::OwnThread(const std::string& name, std::function<void()> body)
    : process_(process_mark()) {
  const BlockSignals blocked;
  try {
    thread_ = std::make_unique<std::thread>(
        [shown = name.substr(0, kLongestName), body = std::move(body)] {
          pthread_setname_np(pthread_self(), shown.c_str());
          body();
        });
  } catch (const std::system_error& e) {
    throw Error(e.code(), {.tried = "start the thread \"" + name + "\"",
                           .hint = "look at ulimit -u and at the cgroup's pids.max"});
  }
}

OwnThread& OwnThread::operator=(OwnThread&& other) noexcept {
  if (this != &other) {
    finish();
    thread_ = std::move(other.thread_);
    process_ = other.process_;
  }
  return *this;
}

OwnThread::~OwnThread() { finish(); }

void OwnThread::finish() noexcept {
  if (thread_ == nullptr) return;
  if (!runs_here()) {
    // Lost on purpose: to destroy it would end the program, to join it would wait for ever.
    static_cast<void>(thread_.release());
  } else if (is_current()) {
    thread_->detach();
  } else {
    thread_->join();
  }
  thread_.reset();
}

bool OwnThread::runs_here() const noexcept {
  return thread_ != nullptr && process_ == process_mark();
}

bool OwnThread::is_current() const noexcept {
  return thread_ != nullptr && thread_->get_id() == std::this_thread::get_id();
}

}  // namespace sluice::internal
