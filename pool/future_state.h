// SPDX-License-Identifier: Apache-2.0
//
// FutureState<R>: a FutureBase with room for the value. Internal: for those who write an executor.
//
//   auto state = std::make_shared<FutureState<int>>(source, task_number);
//   Future<int> future(state);                       // to the user
//   if (state->set_running()) state->set_value(42);  // in the executor
//
// Threads, processes, death, cost: as pool/future_base.h.

#ifndef SLUICE_POOL_FUTURE_STATE_H_
#define SLUICE_POOL_FUTURE_STATE_H_

#include <concepts>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "sluice/pool/future_base.h"

namespace sluice::internal {

/// What a task may return: nothing, or an object that can be moved.
template <class R>
concept Result = std::is_void_v<R> || (std::movable<R> && !std::is_const_v<R>);

/// In the place of a value of type void.
struct Nothing {};

template <Result R>
class FutureState : public FutureBase {
 public:
  using Value = std::conditional_t<std::is_void_v<R>, Nothing, R>;

  using FutureBase::FutureBase;

  /// What the value's constructor throws passes through, and nothing has changed.
  template <class... Args>
    requires std::constructible_from<Value, Args...>
  void set_value(Args&&... args) {
    settle(FutureStatus::finished, [&] { value_.emplace(std::forward<Args>(args)...); });
  }

  /// After a wait that found it finished. Throws std::logic_error if the value was taken.
  [[nodiscard]] const Value& value() const {
    if (!value_.has_value()) throw_taken();
    return *value_;
  }
  [[nodiscard]] Value take() {
    if (!value_.has_value()) throw_taken();
    Value taken = std::move(*value_);
    value_.reset();
    return taken;
  }

 protected:
  /// Who settles it otherwise than by set_value() puts the value in before.
  std::optional<Value> value_;  // NOLINT(cppcoreguidelines-non-private-member-variables-in-classes)

 private:
  [[noreturn]] static void throw_taken() {
    throw std::logic_error("sluice::Future: the value was taken before");
  }
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_FUTURE_STATE_H_
