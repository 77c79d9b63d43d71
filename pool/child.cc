// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/child.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <utility>

#include "sluice/pool/exit.h"
#include "sluice/pool/fork_lock.h"
#include "sluice/pool/lifeline.h"
#include "sluice/pool/log.h"
#include "sluice/pool/pidfd.h"
#include "sluice/pool/this_process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"

namespace sluice::internal {
namespace {

/// In the order of their start; under the fork lock.
constinit Immortal<std::vector<ChildRecord*>> g_children;

/// The one whose fork this thread is in the middle of; in the new process that is itself.
constinit thread_local const ChildRecord* t_starting = nullptr;

/// In a daemon the reading end of its lifeline, open to its end.
constinit Immortal<UniqueFd> g_own_lifeline;

/// With the lock held, or in a process that has just been forked.
void close_descriptors(ChildRecord& child) noexcept {
  child.pidfd.reset();
  child.parent_pidfd.reset();
  for (UniqueFd& end : child.lifeline) end.reset();
  for (UniqueFd& end : child.gate) end.reset();
  for (auto& stream : child.streams) {
    for (UniqueFd& end : stream) end.reset();
  }
  UniqueFd(std::exchange(child.new_pidfd, -1)).reset();
}

[[maybe_unused]] const bool kForgetsItsParentsChildrenOnFork =
    pthread_atfork(nullptr, nullptr, [] {
      for (ChildRecord* const child : g_children.value) {
        if (child != t_starting) close_descriptors(*child);
      }
      g_children.value.clear();
      g_own_lifeline.value.reset();
    }) == 0;

/// Waits for the parent's word that it holds our pidfd; false if the parent is gone. The closing of
/// the gate alone would not tell: a process that was cloned meanwhile may hold a copy of it.
bool wait_for_go(const ChildRecord& me) {
  std::array<struct pollfd, 2> watched = {
      {{.fd = me.gate[0].get(), .events = POLLIN, .revents = 0},
       {.fd = me.parent_pidfd.get(), .events = POLLIN, .revents = 0}}};
  const int timeout = me.parent_pidfd ? -1 : static_cast<int>(kLookAgain.count());
  for (;;) {
    const int n = poll(watched.data(), watched.size(), timeout);
    if (n > 0) break;
    if ((n < 0 && errno != EINTR) || (n == 0 && getppid() != me.parent)) return false;
  }
  char go = 0;
  return (watched[0].revents & POLLIN) != 0 && read(me.gate[0].get(), &go, 1) == 1;
}

/// The child's first steps; it has one thread, and all signals blocked.
void begin(ChildRecord& me) {
  t_starting = nullptr;
  me.gate[1].reset();
  me.lifeline[1].reset();
  if (!wait_for_go(me)) _exit(EXIT_FAILURE);
  me.gate[0].reset();
  const int lifeline = me.lifeline[0].release();
  g_own_lifeline.value.reset(lifeline);
  const bool tied = lifeline < 0 || tie_to_lifeline(lifeline);
  ParentProcess parent(this_process::name(), me.parent, std::move(me.parent_pidfd));
  become_child(me.name, me.daemon, me.number, std::move(parent));
  prctl(PR_SET_NAME, me.name.c_str());
  set_log_process_name(me.name);
  reset_signals();
  if (!tied) watch_lifeline_by_thread(lifeline);
}

/// What people who turn the log on (log.h) read of each child, in the peer's words.
template <class... Parts>
void tell(LogText first, const Parts&... parts) noexcept {
  try {
    get_logger().info(first, parts...);
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for a line is no reason to end
  }
}

[[noreturn]] void run_child(ChildRecord& me, const std::function<void()>& body) noexcept {
  const Ending ending = run_guarded(me.name, [&] {
    begin(me);
    tell("child process calling self.run()");
    body();
  });
  tell("process shutting down");
  run_exit_steps();
  tell("process exiting with exitcode ", ending.code);
  // Who did not end in good order did not leave: its peers are told of a death.
  if (!ending.thrown) participant::leave();
  std::cout.flush();
  std::fflush(nullptr);
  _exit(ending.code);
}

/// The child can't end before it is let go, so the number can't be another process's by now.
void watch_and_let_go(ChildRecord& child, pid_t pid) {
  {
    const ForkLock lock;
    child.pidfd = open_pidfd(pid, child.name);
    child.pid = pid;
  }
  // The other end of the gate is still open here too: a child that has been killed is no SIGPIPE.
  ssize_t n = 0;
  do {
    n = write(child.gate[1].get(), "g", 1);
  } while (n < 0 && errno == EINTR);
}

void close_what_was_for_the_start(ChildRecord& child) {
  const ForkLock lock;
  for (UniqueFd& end : child.gate) end.reset();
  child.parent_pidfd.reset();
  child.lifeline[0].reset();
}

/// With the lock held, of a child that has ended.
void collect(ChildRecord& child) {
  if (child.ended) return;
  child.code = collect_child(child.pid, child.pidfd.get());
  child.ended = true;
  child.lifeline[1].reset();
}

constexpr std::chrono::seconds kGrace{1};

/// One that can't be ended keeps nobody from the others.
template <class Call>
void tell_errors_of(Call call) noexcept {
  try {
    call();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
}

/// Nobody reads a program's output or feeds it any more: it is not to wait for that.
void join_or_kill(const ChildPtr& child, Deadline grace) {
  for (auto& stream : child->streams) drop(stream[0]);
  if (!join(child, child->daemon ? grace : Deadline::never())) send_signal(*child, SIGKILL);
  join(child, Deadline::never());
}

/// Asks all daemons before it waits for the first; the time is for all of them together.
void end_children() noexcept {
  const std::vector<ChildPtr> children = living_children();
  for (const ChildPtr& child : children) {
    if (child->daemon) tell_errors_of([&] { send_signal(*child, SIGTERM); });
  }
  const Deadline grace = kGrace;
  for (const bool daemons : {true, false}) {
    for (const ChildPtr& child : children) {
      if (child->daemon == daemons) tell_errors_of([&] { join_or_kill(child, grace); });
    }
  }
}

}  // namespace

void reset_signals() noexcept {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action = {};
    if (sigaction(number, nullptr, &action) != 0) continue;
    if (action.sa_handler == SIG_IGN || action.sa_handler == SIG_DFL) continue;
    action = {};
    action.sa_handler = SIG_DFL;
    sigaction(number, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

ChildRecord::~ChildRecord() {
  const ForkLock lock;
  close_descriptors(*this);
  std::erase(g_children.value, this);
}

void enter(ChildRecord& child) {
  at_exit_step(ExitStep::end_children, end_children);
  const ForkLock lock;
  g_children.value.push_back(&child);
  if (child.daemon) child.lifeline = make_pipe("its lifeline");
}

void entered_child_runs(ChildRecord& child, pid_t pid) {
  const ForkLock lock;
  child.pidfd.reset(std::exchange(child.new_pidfd, -1));
  child.pid = pid;
  child.lifeline[0].reset();
  for (auto& stream : child.streams) stream[1].reset();
}

void drop(UniqueFd& held) noexcept {
  const ForkLock lock;
  held.reset();
}

void keep_pipe(UniqueFd& reading, UniqueFd& writing, const char* purpose) {
  const ForkLock lock;
  std::array<UniqueFd, 2> ends = make_pipe(purpose);
  reading = std::move(ends[0]);
  writing = std::move(ends[1]);
}

BlockSignals::BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before_);
}

BlockSignals::~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void take_back(ChildRecord& child) noexcept {
  const ForkLock lock;
  close_descriptors(child);
  child.pid = -1;
  std::erase(g_children.value, &child);
}

void start_child(const ChildPtr& child, const std::function<void()>& body) {
  pid_t pid = -1;
  try {
    enter(*child);
    keep_pipe(child->gate[0], child->gate[1], "its gate");
    keep(child->parent_pidfd, [&] { return open_pidfd(child->parent, this_process::name()); });
    std::cout.flush();
    std::fflush(nullptr);
    {
      const BlockSignals blocked;
      t_starting = child.get();
      pid = fork();
      if (pid == 0) run_child(*child, body);
      t_starting = nullptr;
    }
    if (pid < 0) {
      throw Error::from_errno(errno, {.tried = "start the process \"" + child->name + "\"",
                                      .hint = "see ulimit -u, and the memory that is free"});
    }
    watch_and_let_go(*child, pid);
    close_what_was_for_the_start(*child);
  } catch (...) {
    if (pid > 0) {
      ::kill(pid, SIGKILL);
      reap(pid);
    }
    take_back(*child);
    throw;
  }
}

bool join(const ChildPtr& child, Deadline deadline) {
  if (has_been_joined(*child)) return true;
  if (!wait_for_child(child->pid, child->pidfd.get(), deadline)) return false;
  const ForkLock lock;
  collect(*child);
  return true;
}

bool is_alive(const ChildRecord& child) {
  return child.pid > 0 && !has_been_joined(child) &&
         !wait_for_child(child.pid, child.pidfd.get(), Deadline::now());
}

bool has_been_joined(const ChildRecord& child) {
  const ForkLock lock;
  return child.ended;
}

std::optional<int> code_of(const ChildRecord& child) {
  const ForkLock lock;
  return child.code;
}

void send_signal(const ChildRecord& child, int number) {
  if (!has_been_joined(child)) send_to(child.pid, child.pidfd.get(), number, child.name);
}

void end(const ChildPtr& child) {
  if (child->daemon) send_signal(*child, SIGTERM);
  join_or_kill(child, kGrace);
}

std::vector<ChildPtr> living_children() {
  // Let go of after the lock: the last one to hold a child takes the lock to destroy it.
  std::vector<ChildPtr> known;
  std::vector<ChildPtr> living;
  const ForkLock lock;
  known.reserve(g_children.value.size());
  for (ChildRecord* const entered : g_children.value)
    known.push_back(entered->weak_from_this().lock());
  for (const ChildPtr& child : known) {
    if (child == nullptr || child->pid < 0 || child->ended) continue;
    if (wait_for_child(child->pid, child->pidfd.get(), Deadline::now())) {
      collect(*child);
    } else {
      living.push_back(child);
    }
  }
  return living;
}

}  // namespace sluice::internal
