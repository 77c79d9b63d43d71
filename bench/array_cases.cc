// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/array_cases.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>

#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/rivals/locked_arrays.h"
#include "sluice/bench/rivals/pthread_lock.h"
#include "sluice/ipc/array.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kBytes = 4096;
constexpr std::size_t kWritten = 64;

/// Takes the lock, writes, gives it back.
template <class A>
class Writer {
 public:
  explicit Writer(A& array) : array_(array) {}

  void operator()() {
    ++values_[0];
    array_.with_lock([&](std::span<std::byte> all) {
      std::memcpy(all.data(), values_.data(), kWritten);
      std::atomic_signal_fence(
          std::memory_order_seq_cst);  // only for the compiler: they are written
    });
  }

 private:
  A& array_;
  std::array<long, kWritten / sizeof(long)> values_ = {};
};

template <class A>
Variant alone() {
  return {"", [] {
            auto array = std::make_shared<A>(kBytes);
            return Roles{[array](Slice& slice) {
              slice.report(0, 1e9 * slice.seconds_per_call(Writer<A>(*array)));
            }};
          }};
}

}  // namespace

void add_array_cases(Suite& suite) {
  suite.add({.group = "array",
             .name = "array/locked_write",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {alone<Array<std::byte>>()}},
             {"pthread", {alone<PthreadArray<Robust::no>>()}},
             {"pthread_robust", {alone<PthreadArray<Robust::yes>>()}},
             {"boost_interprocess", {alone<BoostArray>()}}});
}

}  // namespace sluice::bench
