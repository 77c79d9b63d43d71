// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/stack_cases.h"

#include <atomic>
#include <cstdint>
#include <memory>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/suite.h"
#include "sluice/bench/rivals/index_stacks.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {
namespace {

template <class User>
void pop_and_push(User& user) {
  std::uint32_t index = 0;
  if (user.pop(index)) user.push(index);
}

template <class Stack>
struct Shared {
  Stack stack;
  InShared<std::atomic<std::uint32_t>> ended;  ///< 0 between two slices
};

template <class Stack>
void measure(Shared<Stack>& shared, Slice& slice) {
  auto user = shared.stack.user();
  slice.report(0, 1e9 * slice.seconds_per_call([&] { pop_and_push(user); }));
}

template <class Stack>
Variant alone() {
  return {"", [] {
            auto shared = std::make_shared<Shared<Stack>>();
            return Roles{[shared](Slice& slice) { measure(*shared, slice); }};
          }};
}

template <class Stack>
Variant beside_another() {
  return {"", [] {
            auto shared = std::make_shared<Shared<Stack>>();
            const auto measured = [shared](Slice& slice) {
              measure(*shared, slice);
              *shared->ended = 1;
              while (*shared->ended != 0) cpu_pause();
            };
            const auto other = [shared](Slice&) {
              auto user = shared->stack.user();
              while (*shared->ended == 0) pop_and_push(user);
              *shared->ended = 0;
            };
            return Roles{measured, other};
          }};
}

}  // namespace

void add_stack_cases(Suite& suite) {
  suite.add({.group = "stack",
             .name = "stack/alone",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {alone<SluiceStack>()}}, {"boost_lockfree", {alone<BoostStack>()}}});
  suite.add({.group = "stack",
             .name = "stack/two",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {beside_another<SluiceStack>()}},
             {"boost_lockfree", {beside_another<BoostStack>()}}});
}

}  // namespace sluice::bench
