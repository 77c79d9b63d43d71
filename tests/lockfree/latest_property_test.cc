// SPDX-License-Identifier: Apache-2.0
//
// Any sequence of calls on a Latest, over any two users of the same memory, behaves as on a plain
// variable.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "sluice/lockfree/latest.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

enum class Step {
  store,
  load,
  exchange,
  compare_exchange,
  compare_exchange_in_vain,
  update,
  update_that_throws,
  wait,
  wait_in_vain,
  move_elsewhere,
};
constexpr int kSteps = static_cast<int>(Step::move_elsewhere) + 1;

/// T from a number, and back.
template <class T>
struct Numbered {
  static T of(std::uint8_t n) {
    T value;
    value.fill(n);
    return value;
  }
};
template <>
struct Numbered<std::uint32_t> {
  static std::uint32_t of(std::uint8_t n) { return n * 0x01010101U; }
};

template <class T>
class Model {
 public:
  Model() : first_(sizeof(Latest<T>)), second_(sizeof(Latest<T>)) {
    std::ranges::fill(first_.span(), std::byte{0});
  }

  void run(Step step, std::uint8_t n) {
    Latest<T>& latest = Latest<T>::in(*here_);
    const T value = Numbered<T>::of(n);
    T found = Numbered<T>::of(0xee);
    switch (step) {
      case Step::store:
        RC_ASSERT(latest.store(value, Deadline::now()) == Status::ok);
        value_ = value;
        break;
      case Step::load:
        RC_ASSERT(latest.try_load(found) == Status::ok);
        RC_ASSERT(found == value_);
        break;
      case Step::exchange:
        RC_ASSERT(latest.exchange(value) == value_);
        value_ = value;
        break;
      case Step::compare_exchange:
        found = value_;
        RC_ASSERT(latest.compare_exchange(found, value));
        RC_ASSERT(found == value_);
        value_ = value;
        break;
      case Step::compare_exchange_in_vain:
        found = other_than(value_);
        RC_ASSERT(!latest.compare_exchange(found, value));
        RC_ASSERT(found == value_);
        break;
      case Step::update:
        RC_ASSERT(latest.update([&](const T& now) { return now == value_ ? value : now; }) ==
                  value);
        value_ = value;
        break;
      case Step::update_that_throws:
        RC_ASSERT_THROWS_AS(latest.update([](T&) { throw std::runtime_error("no"); }),
                            std::runtime_error);
        break;
      case Step::wait:
        RC_ASSERT(latest.wait(other_than(value_)) == value_);
        break;
      case Step::wait_in_vain:
        RC_ASSERT(latest.wait(value_, Deadline::now()) == Status::timeout);
        break;
      case Step::move_elsewhere:
        move();
        break;
    }
    RC_ASSERT(Latest<T>::in(*here_).load() == value_);
  }

 private:
  static T other_than(const T& value) {
    return value == Numbered<T>::of(1) ? Numbered<T>::of(2) : Numbered<T>::of(1);
  }
  /// To another address, as it is.
  void move() {
    const Memory* const there = here_ == &first_ ? &second_ : &first_;
    std::ranges::copy(here_->span(), there->span().begin());
    std::ranges::fill(here_->span(), std::byte{0x5a});
    here_ = there;
  }

  Memory first_, second_;
  const Memory* here_ = &first_;
  T value_ = Numbered<T>::of(0);
};

template <class T>
void behaves_as_a_variable() {
  Model<T> model;
  const auto steps = *rc::gen::container<std::vector<std::pair<int, std::uint8_t>>>(
      rc::gen::pair(rc::gen::inRange(0, kSteps), rc::gen::arbitrary<std::uint8_t>()));
  for (const auto& [step, n] : steps) model.run(static_cast<Step>(step), n);
}

RC_GTEST_PROP(LatestProperty, OfAWordBehavesAsAVariable, ()) {
  behaves_as_a_variable<std::uint32_t>();
}
RC_GTEST_PROP(LatestProperty, OfAnOddSizeBehavesAsAVariable, ()) {
  behaves_as_a_variable<std::array<std::uint8_t, 13>>();
}
RC_GTEST_PROP(LatestProperty, OfALineBehavesAsAVariable, ()) {
  behaves_as_a_variable<std::array<std::uint8_t, 64>>();
}

}  // namespace
}  // namespace sluice::tests
