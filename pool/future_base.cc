// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/future_base.h"

#include <future>

#include "sluice/pool/uncaught.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice::internal {
namespace {

[[noreturn]] void throw_set_twice() {
  throw std::future_error(std::future_errc::promise_already_satisfied);
}

}  // namespace

Callback::~Callback() = default;

FutureBase::~FutureBase() = default;

bool FutureBase::claim() {
  const std::lock_guard lock(mutex_);
  if (status_ == FutureStatus::cancelled) notice();
  if (status_ != FutureStatus::pending) return false;
  status_ = FutureStatus::running;
  return true;
}

bool FutureBase::set_running() {
  if (claim()) return true;
  if (status() != FutureStatus::cancelled) throw_set_twice();
  return false;
}

void FutureBase::set_exception(std::exception_ptr exception) {
  settle(FutureStatus::failed, [&] { exception_ = std::move(exception); });
}

bool FutureBase::set_cancelled() {
  std::unique_lock lock(mutex_);
  if (status_ == FutureStatus::cancelled) {
    notice();
    return true;
  }
  if (is_settled()) return false;
  finish_settling(FutureStatus::cancelled, std::move(lock));
  return true;
}

bool FutureBase::cancel(bool running_too) {
  if (ResultSource* const source = fetched_from(); source != nullptr) {
    const FutureStatus now = status();
    return now < FutureStatus::finished ? source->cancel(task_, running_too)
                                        : now == FutureStatus::cancelled;
  }
  std::unique_lock lock(mutex_);
  if (status_ == FutureStatus::cancelled) return true;
  if (status_ != FutureStatus::pending) return false;
  unnoticed_ = true;
  finish_settling(FutureStatus::cancelled, std::move(lock));
  return true;
}

void FutureBase::notice() noexcept {
  unnoticed_ = false;
  tell_waiters();
}

void FutureBase::check_unsettled() const {
  if (is_settled()) throw_set_twice();
}

void FutureBase::finish_settling(FutureStatus outcome, std::unique_lock<std::mutex> lock) {
  status_ = outcome;
  Callback* const first = callbacks_.get();
  called_back_ = first == nullptr;
  settled_.set();
  if (called_back_ || outcome == FutureStatus::cancelled) ready_.set();
  tell_waiters();
  if (called_back_) return;
  std::shared_ptr<FutureBase> self = first->future;
  lock.unlock();
  if (source_ != nullptr) {
    source_->callbacks().post(std::move(self));
  } else {
    run_callbacks();
  }
}

void FutureBase::run_callbacks() noexcept {
  const InCallback in_callback;
  std::unique_lock lock(mutex_);
  while (callbacks_ != nullptr) {
    std::unique_ptr<Callback> callback = std::move(callbacks_);
    callbacks_ = std::move(callback->next);
    lock.unlock();
    run_reporting("a callback of a future", [&] { callback->run(); });
    callback.reset();  // not under the lock
    lock.lock();
  }
  called_back_ = true;
  ready_.set();
  tell_waiters();
  lock.unlock();
  if (ResultSource* const source = fetched_from(); source != nullptr) source->wake_fetchers();
}

void FutureBase::add_callback(std::unique_ptr<Callback> callback) {
  bool unsettled = false;
  {
    const std::lock_guard lock(mutex_);
    if (!called_back_) {
      Callback* const added = callback.get();
      (callbacks_ == nullptr ? callbacks_ : last_callback_->next) = std::move(callback);
      last_callback_ = added;
      unsettled = !is_settled();
    }
  }
  if (callback != nullptr) {
    run_reporting("a callback of a future", [&] { callback->run(); });
  } else if (ResultSource* const source = fetched_from(); unsettled && source != nullptr) {
    source->fetch_in_background();
  }
}

bool FutureBase::wait(Deadline deadline) {
  Event& event = in_callback() ? settled_ : ready_;
  if (event.is_set()) return true;
  if (ResultSource* const source = fetched_from(); source != nullptr) {
    return source->fetch_until([&event] { return event.is_set(); }, deadline);
  }
  if (deadline.is_never() && source_ != nullptr) source_->run_here(*this);
  return event.wait(deadline) == Status::ok;
}

FutureStatus FutureBase::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

bool FutureBase::running() const {
  const FutureStatus now = status();
  if (now == FutureStatus::running) return true;
  ResultSource* const source = fetched_from();
  return now == FutureStatus::pending && source != nullptr && source->is_running(task_);
}

std::exception_ptr FutureBase::exception() const {
  const std::lock_guard lock(mutex_);
  return exception_;
}

void FutureBase::await_value(Deadline deadline) {
  if (!wait(deadline)) {
    throw Error(Status::timeout, {.tried = "get the result of a task",
                                  .hint = "nothing is lost: the next get() may have it"});
  }
  // Without the lock: an outcome does not change, and the wait has seen it.
  if (status_ == FutureStatus::failed) std::rethrow_exception(exception_);
  if (status_ == FutureStatus::cancelled) throw CancelledError();
}

bool FutureBase::is_done_for_waiters(bool when_settled) const noexcept {
  if (status_ == FutureStatus::cancelled) return !unnoticed_;
  return is_settled() && (called_back_ || when_settled);
}

bool FutureBase::add_waiter(FutureWaiter& waiter) {
  const std::lock_guard lock(mutex_);
  waiter.when_settled_ = in_callback();
  if (is_done_for_waiters(waiter.when_settled_)) return false;
  waiter.next_ = std::exchange(waiters_, &waiter);
  return true;
}

void FutureBase::remove_waiter(FutureWaiter& waiter) {
  const std::lock_guard lock(mutex_);
  for (FutureWaiter** place = &waiters_; *place != nullptr; place = &(*place)->next_) {
    if (*place == &waiter) {
      *place = waiter.next_;
      return;
    }
  }
}

void FutureBase::tell_waiters() noexcept {
  for (FutureWaiter** place = &waiters_; *place != nullptr;) {
    FutureWaiter* const waiter = *place;
    if (is_done_for_waiters(waiter->when_settled_)) {
      *place = waiter->next_;
      waiter->on_done(status_);
    } else {
      place = &waiter->next_;
    }
  }
}

}  // namespace sluice::internal
