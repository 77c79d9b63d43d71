// SPDX-License-Identifier: Apache-2.0
//
// Internal: a callable with its arguments, kept until it is run once. If a process dies here:
// private to it.

#ifndef SLUICE_POOL_BOUND_CALL_H_
#define SLUICE_POOL_BOUND_CALL_H_

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "sluice/pool/start_options.h"

namespace sluice::internal {

class BoundCall {
 public:
  BoundCall() = default;
  BoundCall(const BoundCall&) = delete;
  BoundCall& operator=(const BoundCall&) = delete;
  virtual ~BoundCall() = default;
  virtual void run() = 0;
};

template <class F, class... Args>
class BoundCallOf final : public BoundCall {
 public:
  template <class G, class... Given>
  explicit BoundCallOf(std::in_place_t, G&& f, Given&&... args)
      : f_(std::forward<G>(f)), args_(std::forward<Given>(args)...) {}

  /// What it returns is nobody's business.
  void run() override {
    std::apply(
        [this](auto&... args) {
          static_cast<void>(std::invoke(std::move(f_), std::move(args)...));
        },
        args_);
  }

 private:
  F f_;
  std::tuple<Args...> args_;
};

/// Copies or moves all of it, as std::thread does.
template <class F, class... Args>
std::unique_ptr<BoundCall> bind_call(F&& f, Args&&... args) {
  return std::make_unique<BoundCallOf<std::decay_t<F>, std::decay_t<Args>...>>(
      std::in_place, std::forward<F>(f), std::forward<Args>(args)...);
}

/// What a Process and a Thread can run.
template <class F, class... Args>
concept RunnableWith =
    std::invocable<std::decay_t<F>, std::decay_t<Args>...> &&
    !std::is_convertible_v<F, std::string> && !std::is_convertible_v<F, StartOptions>;

}  // namespace sluice::internal

#endif  // SLUICE_POOL_BOUND_CALL_H_
