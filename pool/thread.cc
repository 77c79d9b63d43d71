// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/thread.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "sluice/pool/exit.h"
#include "sluice/pool/fork_lock.h"
#include "sluice/pool/type_name.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"

namespace sluice {
namespace internal {

/// Held by its Thread, by the thread, and by the table while it runs. An Event, as a std condition
/// variable could not be destroyed in a forked child if a thread of the parent waited on it.
struct ThreadRecord {
  std::string name;
  int number = 0;
  bool daemon = false;
  std::size_t stack_size = 0;
  pid_t process = -1;  ///< who made it
  bool started = false;
  bool runs_itself = false;  ///< a derived class's run(), so that the thread uses the Thread

  std::function<void()> body;
  std::unique_ptr<BoundCall> task;

  pthread_t handle = {};
  bool joined = false;  ///< or let go; under the fork lock

  pid_t id = -1;  ///< written by the thread, before `begun`
  int code = 0;   ///< written by the thread, before `ended`
  Event begun;
  Event ended;
};

}  // namespace internal

namespace {

using internal::ForkLock;
using internal::Immortal;
using internal::ThreadRecord;
using ThreadPtr = std::shared_ptr<ThreadRecord>;

struct ThreadTable {
  std::vector<ThreadPtr> running;  ///< in the order of their start
  int last_number = 0;
};
constinit Immortal<ThreadTable> g_threads;

/// Null in a thread that is no Thread's.
constinit thread_local const ThreadRecord* t_current = nullptr;

/// In the child no other thread runs. What they held is theirs for ever: each has a ThreadPtr of
/// its own, which nobody gives back.
[[maybe_unused]] const bool kForgetsThreadsOnFork = pthread_atfork(nullptr, nullptr, [] {
                                                      t_current = nullptr;
                                                      g_threads.value = {};
                                                    }) == 0;

[[noreturn]] void terminate(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::terminate();
}

void enter(const ThreadPtr& state) {
  const ForkLock lock;
  g_threads.value.running.push_back(state);
}

void leave(const ThreadPtr& state) {
  const ForkLock lock;
  std::erase(g_threads.value.running, state);
}

/// The whole life of a thread. `argument`: a ThreadPtr of its own.
void* live(void* argument) {
  const std::unique_ptr<ThreadPtr> own(static_cast<ThreadPtr*>(argument));
  ThreadRecord& state = **own;
  t_current = &state;
  state.id = gettid();
  enter(*own);
  prctl(PR_SET_NAME, state.name.c_str());
  state.begun.set();
  state.code = internal::run_guarded(state.name, state.body).code;
  state.body = nullptr;
  state.task.reset();
  t_current = nullptr;
  leave(*own);
  state.ended.set();
  return nullptr;
}

class Attributes {
 public:
  explicit Attributes(std::size_t stack_size) {
    pthread_attr_init(&attributes_);
    if (stack_size != 0) error_ = pthread_attr_setstacksize(&attributes_, stack_size);
  }
  ~Attributes() { pthread_attr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  [[nodiscard]] int error() const noexcept { return error_; }
  [[nodiscard]] const pthread_attr_t* get() const noexcept { return &attributes_; }

 private:
  pthread_attr_t attributes_ = {};
  int error_ = 0;
};

void create(const ThreadPtr& state) {
  const Attributes attributes(state->stack_size);
  int error = attributes.error();
  if (error == 0) {
    ThreadPtr* const own =
        std::make_unique<ThreadPtr>(state).release();  // the thread's, if there is one
    error = pthread_create(&state->handle, attributes.get(), live, own);
    if (error != 0) std::default_delete<ThreadPtr>()(own);
  }
  if (error != 0) {
    throw Error::from_errno(error, {.tried = "start the thread \"" + state->name + "\"",
                                    .hint = "see ulimit -u, the memory that is free, and the size "
                                            "of its stack"});
  }
}

/// Whether the caller is the one to join it, or let it go.
bool claim(ThreadRecord& state) {
  const ForkLock lock;
  return !std::exchange(state.joined, true);
}

bool wait_for_end(ThreadRecord& state, Deadline deadline) {
  if (state.process != getpid()) return true;
  if (state.ended.wait(deadline) != Status::ok) return false;
  // Its last steps; so that nothing of it runs any more.
  if (claim(state)) pthread_join(state.handle, nullptr);
  return true;
}

bool is_running(const ThreadRecord& state) {
  return state.started && state.process == getpid() && !state.ended.is_set();
}

ThreadPtr somebody_to_wait_for() {
  const ForkLock lock;
  for (const ThreadPtr& state : g_threads.value.running) {
    if (!state->daemon && state.get() != t_current) return state;
  }
  return nullptr;
}

/// Also those that are started meanwhile.
void join_threads() noexcept {
  while (const ThreadPtr state = somebody_to_wait_for()) {
    wait_for_end(*state, Deadline::never());
  }
}

}  // namespace

Thread::Thread(StartOptions options)
    : state_(std::make_shared<ThreadRecord>()), start_(options.start) {
  state_->name = std::move(options.name);
  state_->daemon = options.daemon.value_or(this_thread::daemon());
  state_->stack_size = options.stack_size;
  state_->process = getpid();
  const ForkLock lock;
  state_->number = ++g_threads.value.last_number;
}

Thread::Thread(Thread&& other) noexcept
    : state_(std::move(other.state_)), task_(std::move(other.task_)), start_(other.start_) {
  if (state_ != nullptr && state_->runs_itself && is_running(*state_)) {
    terminate("the thread \"" + state_->name + "\" was moved while it runs its own run()");
  }
}

Thread::~Thread() {
  if (state_ == nullptr || !state_->started || state_->process != getpid()) return;
  if (state_->runs_itself && is_running(*state_)) {
    terminate("the thread \"" + state_->name + "\" was destroyed while it runs its own run()");
  }
  if (!state_->daemon) {
    wait_for_end(*state_, Deadline::never());
  } else if (claim(*state_)) {
    pthread_detach(state_->handle);
  }
}

const std::shared_ptr<ThreadRecord>& Thread::open(const char* what) const {
  if (state_ == nullptr) {
    throw std::logic_error(std::string(what) + " of a thread that was closed or moved from");
  }
  return state_;
}

const std::shared_ptr<ThreadRecord>& Thread::unstarted(const char* what) const {
  const auto& state = open(what);
  if (!state->started) return state;
  throw std::logic_error(std::string(what) + " of \"" + name() +
                         "\", which has been started before");
}

const std::shared_ptr<ThreadRecord>& Thread::started(const char* what) const {
  const auto& state = open(what);
  if (state->started) return state;
  throw std::logic_error(std::string(what) + " of \"" + name() + "\", which has not been started");
}

void Thread::start() {
  const auto& state = unstarted("start");
  if (state->process != getpid()) {
    throw std::logic_error("start of \"" + name() + "\": not a thread of this process");
  }
  internal::at_exit_step(internal::ExitStep::join_threads, join_threads);
  state->name = name();
  state->runs_itself = task_ == nullptr;
  state->task = std::move(task_);
  state->body = state->task != nullptr
                    ? std::function<void()>([task = state->task.get()] { task->run(); })
                    : [this] { run(); };
  try {
    create(state);
  } catch (...) {
    task_ = std::move(state->task);
    throw;
  }
  state->started = true;
  state->begun.wait();
}

void Thread::run() { throw std::logic_error("a Thread has nothing to run"); }

bool Thread::join(Deadline deadline) {
  const auto& state = started("join");
  if (state.get() == t_current) throw std::logic_error("join of \"" + name() + "\" by itself");
  return wait_for_end(*state, deadline);
}

bool Thread::alive() const { return is_running(*open("alive")); }

std::optional<int> Thread::exit_code() const {
  const auto& state = open("exit_code");
  if (state->process != getpid() || !state->ended.is_set()) return std::nullopt;
  return state->code;
}

void Thread::close() {
  if (state_ == nullptr) return;
  if (is_running(*state_)) {
    throw std::logic_error("close of \"" + name() + "\", which has not been joined");
  }
  if (state_->started) wait_for_end(*state_, Deadline::never());
  state_.reset();
  task_.reset();
}

pid_t Thread::id() const noexcept { return state_ != nullptr ? state_->id : -1; }

std::string Thread::name() const {
  if (state_ == nullptr) return "";
  if (!state_->name.empty()) return state_->name;
  return internal::short_name_of(typeid(*this)) + "-" + std::to_string(state_->number);
}

bool Thread::daemon() const { return open("daemon")->daemon; }
void Thread::set_name(std::string name) { unstarted("set_name")->name = std::move(name); }
void Thread::set_daemon(bool daemon) { unstarted("set_daemon")->daemon = daemon; }

std::ostream& operator<<(std::ostream& out, const Thread& thread) {
  if (thread.state_ == nullptr) return out << "a thread that was closed";
  out << thread.name();
  if (!thread.state_->started) return out << ": not started";
  out << " (thread " << thread.id() << "): ";
  const std::optional<int> code = thread.exit_code();
  return code ? out << "ended with " << *code : out << "started";
}

std::vector<ActiveThread> active_threads() {
  std::vector<ActiveThread> active;
  const ForkLock lock;
  for (const ThreadPtr& state : g_threads.value.running) {
    if (state->begun.is_set()) active.push_back({state->name, state->id, state->daemon});
  }
  return active;
}

namespace this_thread {

std::string name() {
  if (t_current != nullptr) return t_current->name;
  if (is_main()) return "MainThread";
  constexpr std::size_t kRoom = 16;
  std::array<char, kRoom> text = {};
  prctl(PR_GET_NAME, text.data());
  return text.data();
}

pid_t id() noexcept { return gettid(); }
bool daemon() noexcept { return t_current != nullptr && t_current->daemon; }
bool is_main() noexcept { return gettid() == getpid(); }

}  // namespace this_thread
}  // namespace sluice
