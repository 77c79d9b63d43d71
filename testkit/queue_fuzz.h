// SPDX-License-Identifier: Apache-2.0
//
// Fuzzing of a queue, from its adapter (testkit/queue_adapter.h): programs of calls, held to the
// model; and hostile memory: calls between which somebody without rules writes into the shared
// bytes. With libFuzzer, whose target is three lines, or without, from a seed.
//
//   extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
//     return sluice::testkit::fuzz_calls<MyAdapter>(data, size);    // or fuzz_memory
//   }
//   EXPECT_EQ(check_fuzz<MyAdapter>(test_seed(), 1000), "");         // in an ordinary test
//
// What is demanded. Of calls: that each gives what testkit/models.h allows, one after another; a
// batch may be short, but not in vain where all of it would fit. Of calls in hostile memory, for
// adapters that work between processes: that they return, or throw a std::exception; what they say
// and what comes out may be anything. They don't crash, don't hang, don't touch memory outside of
// the shared bytes (of a SharedAdapter these lie between addresses that fault, and a margin behind
// them must stay as it was), and don't say that a batch was larger than its span.
//
// fuzz_calls() and fuzz_memory() print the program and abort; for hangs libFuzzer has -timeout.
// check_calls() and check_memory() take one input and say what is wrong, unless it crashes. The
// others make their inputs from a seed and run them in a watched child, so that crashes and hangs
// are findings like any other; the text has the input, as bytes that the former take.
//
// Units: bytes; inputs are of any length. Errors: texts, empty if nothing is wrong;
// std::system_error if the machine gives no process or memory. Threads: one; check_fuzz...() fork,
// so other threads must not hold locks that the queue needs. If a process dies here: children end
// with their parent.
//
// Cost: some microseconds a program, and the queue's calls; ten times that for hostile memory,
// whose mapping is made anew for each input.

#ifndef SLUICE_TESTKIT_QUEUE_FUZZ_H_
#define SLUICE_TESTKIT_QUEUE_FUZZ_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "sluice/testkit/checked_item.h"
#include "sluice/testkit/fuzz_input.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_fuzz_runs.h"
#include "sluice/testkit/watched_run.h"

namespace sluice::testkit {

/// What can be fuzzed: an adapter of one of the kit's items.
template <class A>
concept FuzzAdapter = (LocalAdapter<A> || ProcessAdapter<A>) && KitItem<typename A::value_type>;

/// What those are told that make their inputs from a seed.
struct QueueFuzzOptions {
  std::uint64_t seed = 1;      ///< the same seed gives the same inputs
  std::uint64_t cases = 1000;  ///< inputs, each on a queue of its own
  /// A case that takes longer hangs.
  std::chrono::milliseconds limit{5000};
};

/// One input as a program of calls.
template <FuzzAdapter A>
[[nodiscard]] std::string check_calls(std::span<const std::uint8_t> input) {
  return internal::FuzzedCalls<A>(internal::fuzz_capacity(input)).run(internal::fuzz_steps(input));
}

/// One input as calls in hostile memory.
template <FuzzAdapter A>
  requires ProcessAdapter<A>
[[nodiscard]] std::string check_memory(std::span<const std::uint8_t> input) {
  return internal::FuzzedMemory<A>(internal::fuzz_capacity(input))
      .run(internal::fuzz_scribbles(input));
}

/// For LLVMFuzzerTestOneInput: 0, or it aborts.
template <FuzzAdapter A>
int fuzz_calls(const std::uint8_t* data, std::size_t size) {
  const std::span input(data, size);
  const std::string wrong = check_calls<A>(input);
  if (!wrong.empty()) internal::abort_with(wrong + "\n" + internal::text_of_calls(input));
  return 0;
}
/// For LLVMFuzzerTestOneInput, of calls in hostile memory: 0, or it aborts.
template <FuzzAdapter A>
  requires ProcessAdapter<A>
int fuzz_memory(const std::uint8_t* data, std::size_t size) {
  const std::span input(data, size);
  const std::string wrong = check_memory<A>(input);
  if (!wrong.empty()) internal::abort_with(wrong + "\n" + internal::text_of_scribbles(input));
  return 0;
}

/// Random programs of calls.
template <FuzzAdapter A>
[[nodiscard]] std::string check_fuzz_calls(const QueueFuzzOptions& options = {}) {
  const internal::WatchedRun run = internal::run_watched(
      options.cases, options.limit,
      [&](std::uint64_t n) { return check_calls<A>(internal::random_calls(options.seed, n)); });
  return internal::text_of_fuzz("calls", options.seed, run, internal::text_of_calls,
                                internal::random_calls);
}

/// Random calls in hostile memory.
template <FuzzAdapter A>
  requires ProcessAdapter<A>
[[nodiscard]] std::string check_fuzz_memory(const QueueFuzzOptions& options = {}) {
  const internal::WatchedRun run =
      internal::run_watched(options.cases, options.limit, [&](std::uint64_t n) {
        return check_memory<A>(internal::random_scribbles(options.seed, n));
      });
  return internal::text_of_fuzz("hostile memory", options.seed, run, internal::text_of_scribbles,
                                internal::random_scribbles);
}

/// Both, or what there is.
template <FuzzAdapter A>
[[nodiscard]] std::string check_fuzz(std::uint64_t seed, std::uint64_t cases) {
  std::string wrong = check_fuzz_calls<A>({.seed = seed, .cases = cases});
  if constexpr (ProcessAdapter<A>) {
    if (wrong.empty()) wrong = check_fuzz_memory<A>({.seed = seed, .cases = cases});
  }
  return wrong;
}

/// Given an adapter's template, takes the most telling items that it can carry.
template <template <class> class Adapter>
int fuzz_calls(const std::uint8_t* data, std::size_t size) {
  return fuzz_calls<OfKitItems<Adapter>>(data, size);
}
/// Given an adapter's template, takes the most telling items that it can carry.
template <template <class> class Adapter>
int fuzz_memory(const std::uint8_t* data, std::size_t size) {
  return fuzz_memory<OfKitItems<Adapter>>(data, size);
}
/// Given an adapter's template, takes the most telling items that it can carry.
template <template <class> class Adapter>
[[nodiscard]] std::string check_fuzz_calls(const QueueFuzzOptions& options = {}) {
  return check_fuzz_calls<OfKitItems<Adapter>>(options);
}
/// Given an adapter's template, takes the most telling items that it can carry.
template <template <class> class Adapter>
[[nodiscard]] std::string check_fuzz_memory(const QueueFuzzOptions& options = {}) {
  return check_fuzz_memory<OfKitItems<Adapter>>(options);
}
/// Given an adapter's template, takes the most telling items that it can carry.
template <template <class> class Adapter>
[[nodiscard]] std::string check_fuzz(std::uint64_t seed, std::uint64_t cases) {
  return check_fuzz<OfKitItems<Adapter>>(seed, cases);
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_FUZZ_H_
