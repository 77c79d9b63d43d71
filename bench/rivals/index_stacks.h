// SPDX-License-Identifier: Apache-2.0
//
// Stacks of the indices 0 to 999 in shared memory, as bench/stack_cases.cc wants them:
//
//   auto user(); bool pop(std::uint32_t&); void push(std::uint32_t);
//
// each made in the process that uses it.

#ifndef SLUICE_BENCH_RIVALS_INDEX_STACKS_H_
#define SLUICE_BENCH_RIVALS_INDEX_STACKS_H_

#include <boost/lockfree/stack.hpp>
#include <cstddef>
#include <cstdint>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/lockfree/stack.h"
#include "sluice/sync/status.h"

namespace sluice::bench {

inline constexpr std::size_t kStackCapacity = 1000;

class SluiceStack {
 public:
  struct User {
    bool pop(std::uint32_t& index) { return stack.try_pop(index) == Status::ok; }
    void push(std::uint32_t index) { static_cast<void>(stack.push(index)); }
    IndexStack stack;
  };

  SluiceStack() : memory_(IndexStack::bytes_for(kStackCapacity)) {
    IndexStack::format(memory_.bytes(), kStackCapacity);
  }
  [[nodiscard]] User user() { return {IndexStack(memory_.bytes())}; }

 private:
  SharedMemory memory_;
};

/// With a capacity fixed at compile time it holds no pointer. What a killed process held is lost.
class BoostStack {
  using Stack = boost::lockfree::stack<std::uint32_t, boost::lockfree::capacity<kStackCapacity>>;

 public:
  struct User {
    bool pop(std::uint32_t& index) { return stack->pop(index); }
    void push(std::uint32_t index) { stack->bounded_push(index); }
    Stack* stack;
  };

  BoostStack() {
    for (std::uint32_t i = 0; i < kStackCapacity; ++i) stack_->bounded_push(i);
  }
  [[nodiscard]] User user() { return {&*stack_}; }

 private:
  InShared<Stack> stack_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_INDEX_STACKS_H_
