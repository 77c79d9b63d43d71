// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/done_order.h"

#include <set>
#include <utility>

#include "sluice/sync/status.h"

namespace sluice::internal {

DoneOrder::DoneOrder(std::vector<FutureBase*> states)
    : states_(std::move(states)), waiters_(states_.size()) {
  done_.reserve(states_.size());  // add() must not throw
  for (std::size_t i = 0; i < states_.size(); ++i) {
    waiters_[i].order = this;
    waiters_[i].index = i;
    if (!states_[i]->add_waiter(waiters_[i])) add(i, states_[i]->status());
  }
  find_source();
}

DoneOrder::~DoneOrder() {
  // Also of those that are done: after this their threads have left on_done().
  for (std::size_t i = 0; i < states_.size(); ++i) release(i);
}

void DoneOrder::release(std::size_t index) {
  if (FutureBase* const state = std::exchange(states_[index], nullptr); state != nullptr) {
    state->remove_waiter(waiters_[index]);
  }
}

void DoneOrder::find_source() {
  std::set<ResultSource*> sources;
  for (const FutureBase* state : states_) {
    if (state->status() < FutureStatus::finished) sources.insert(state->fetched_from());
  }
  if (sources.size() == 1) {
    source_ = *sources.begin();
    return;
  }
  for (ResultSource* source : sources) {
    if (source != nullptr) source->fetch_in_background();
  }
}

void DoneOrder::add(std::size_t index, FutureStatus outcome) noexcept {
  const std::lock_guard lock(mutex_);
  done_.push_back(index);
  failed_ = failed_ || outcome == FutureStatus::failed;
  // Under the lock, so that no wait that begins later is ended by it.
  if (is_enough()) enough_.set();
}

bool DoneOrder::is_enough() const noexcept {
  return done_.size() >= wanted_ || (failed_ && ends_ == EndsWith::failure);
}

bool DoneOrder::await(std::size_t count, Deadline deadline, EndsWith ends) {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = count;
    ends_ = ends;
    if (is_enough()) return true;
    enough_.clear();
  }
  if (source_ != nullptr) {
    return source_->fetch_until([this] { return enough_.is_set(); }, deadline);
  }
  if (deadline.is_never()) run_one_here();
  return enough_.wait(deadline) == Status::ok;
}

void DoneOrder::run_one_here() {
  for (FutureBase* const state : states_) {
    if (enough_.is_set()) return;
    if (state == nullptr || state->fetched_from() != nullptr) continue;
    if (const auto& source = state->source(); source != nullptr) source->run_here(*state);
  }
}

std::size_t DoneOrder::count() const {
  const std::lock_guard lock(mutex_);
  return done_.size();
}

std::size_t DoneOrder::at(std::size_t n) const {
  const std::lock_guard lock(mutex_);
  return done_.at(n);
}

}  // namespace sluice::internal
