// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/process.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <typeinfo>

#include "sluice/pool/child.h"
#include "sluice/pool/this_process.h"
#include "sluice/pool/type_name.h"
#include "sluice/sync/error.h"

namespace sluice {
Process::Process(StartOptions options)
    : child_(std::make_shared<internal::ChildRecord>()), start_(options.start) {
  child_->name = std::move(options.name);
  child_->number = internal::next_child_number();
  child_->daemon = options.daemon.value_or(this_process::daemon());
  child_->parent = getpid();
}

Process::Process(Process&& other) noexcept
    : child_(std::move(other.child_)), task_(std::move(other.task_)), start_(other.start_) {}

Process::~Process() {
  if (child_ == nullptr || child_->pid < 0 || child_->parent != getpid()) return;
  try {
    internal::end(child_);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
}

const std::shared_ptr<internal::ChildRecord>& Process::open(const char* what) const {
  if (child_ == nullptr) {
    throw std::logic_error(std::string(what) + " of a process that was closed or moved from");
  }
  return child_;
}

const std::shared_ptr<internal::ChildRecord>& Process::own(const char* what) const {
  const auto& child = open(what);
  if (child->parent != getpid()) {
    throw std::logic_error(std::string(what) + " of \"" + name() +
                           "\": not a child of this process");
  }
  return child;
}

const std::shared_ptr<internal::ChildRecord>& Process::unstarted(const char* what) const {
  const auto& child = own(what);
  if (child->pid >= 0) {
    throw std::logic_error(std::string(what) + " of \"" + name() +
                           "\", which has been started before");
  }
  return child;
}

const std::shared_ptr<internal::ChildRecord>& Process::started(const char* what) const {
  const auto& child = own(what);
  if (child->pid < 0) {
    throw std::logic_error(std::string(what) + " of \"" + name() +
                           "\", which has not been started");
  }
  return child;
}

void Process::start() {
  const auto& child = unstarted("start");
  child->name = name();
  internal::start_child(child, [this] { run(); });
  task_.reset();
}

void Process::run() {
  if (task_ == nullptr) throw std::logic_error("a Process has nothing to run");
  task_->run();
}

bool Process::wait(Deadline deadline) { return internal::join(child_, deadline); }

bool Process::join(Deadline deadline) {
  static_cast<void>(started("join"));
  return wait(deadline);
}

bool Process::alive() const { return internal::is_alive(*own("alive")); }

std::optional<int> Process::exit_code() const {
  const auto& child = open("exit_code");
  return child->parent == getpid() ? internal::code_of(*child) : std::nullopt;
}

void Process::close() {
  if (child_ == nullptr) return;
  if (own("close")->pid >= 0 && !internal::has_been_joined(*child_)) {
    throw std::logic_error("close of \"" + name() + "\", which has not been joined");
  }
  child_.reset();
  task_.reset();
}

pid_t Process::pid() const noexcept { return child_ != nullptr ? child_->pid : -1; }

std::string Process::name() const {
  if (child_ == nullptr) return "";
  if (!child_->name.empty()) return child_->name;
  return internal::short_name_of(typeid(*this)) + "-" + child_->number;
}

bool Process::daemon() const { return open("daemon")->daemon; }
void Process::set_name(std::string name) { unstarted("set_name")->name = std::move(name); }
void Process::set_daemon(bool daemon) { unstarted("set_daemon")->daemon = daemon; }

int Process::sentinel() const { return started("sentinel")->pidfd.get(); }

WaitHandle Process::wait_handle() const {
  if (sentinel() < 0) {
    throw Error::from_errno(ENOSYS, {.tried = "wait for process " + name() + " among others",
                                     .expected = "a kernel that grants pidfd_open(2)",
                                     .hint = "join() works without"});
  }
  return WaitHandle(sentinel());
}

void Process::send_signal(int number) { internal::send_signal(*started("send_signal"), number); }
void Process::terminate() { send_signal(SIGTERM); }
void Process::kill() { send_signal(SIGKILL); }

std::ostream& operator<<(std::ostream& out, const Process& process) {
  if (process.child_ == nullptr) return out << "a process that was closed";
  out << process.name();
  if (process.pid() < 0) return out << ": not started";
  out << " (pid " << process.pid() << "): ";
  if (!internal::has_been_joined(*process.child_)) return out << "started";
  const std::optional<int> code = internal::code_of(*process.child_);
  if (!code) return out << "ended, exit code unknown";
  if (*code < 0) return out << "killed by signal " << -*code;
  return out << "exited with " << *code;
}

std::vector<ActiveChild> active_children() {
  std::vector<ActiveChild> active;
  for (const internal::ChildPtr& child : internal::living_children()) {
    active.push_back({child->name, child->pid, child->daemon});
  }
  return active;
}

}  // namespace sluice
