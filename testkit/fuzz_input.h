// SPDX-License-Identifier: Apache-2.0
//
// The inputs of testkit/queue_fuzz.h: how bytes become a program of queue calls, or calls with
// scribbles between them; how both are made at random, and printed. Internal.
//
//   calls    capacity u8 (modulo 16, plus 1), then a byte for each call: its low four bits, modulo
//            kFuzzCalls, say which (FuzzCall), the others how many items a batch has, less 1
//   memory   capacity u8, as above, then 12 bytes for each step, little-endian: action u8, modulo
//            kFuzzActions (FuzzAction), where u16, what u8, value u64
//
// A scribble is at `where` modulo the size, its low three bits of `what` plus 1 say how many bytes;
// the next two whether `value` is stored (0, 1), added (2) or xored (3).
//
// Errors: none; every row of bytes is an input. Threads: plain values. If a process dies here:
// private memory. Cost: none to speak of.

#ifndef SLUICE_TESTKIT_FUZZ_INPUT_H_
#define SLUICE_TESTKIT_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sluice/testkit/models.h"
#include "sluice/testkit/watched_run.h"

namespace sluice::internal {

using FuzzBytes = std::span<const std::uint8_t>;

enum class FuzzCall : std::uint8_t {
  push,
  pop,
  push_again,
  pop_again,
  push_batch,
  pop_batch,
  size,
  other_party,   ///< what follows is another one's, where a queue has parties
  push_waiting,  ///< by push(), where there is one and it need not wait; and so
  pop_waiting,
  close,  ///< if its upper bits are all set
};
inline constexpr unsigned kFuzzCalls = 11;

struct FuzzStep {
  FuzzCall call = FuzzCall::push;
  std::size_t count = 1;  ///< of a batch
};

enum class FuzzAction : std::uint8_t { scribble, push, pop, push_batch, pop_batch, size, attach };
inline constexpr unsigned kFuzzActions = 7;

struct FuzzScribble {
  FuzzAction action = FuzzAction::scribble;
  std::uint16_t where = 0;
  std::uint8_t what = 0;
  std::uint64_t value = 0;
};

inline constexpr std::size_t kFuzzHeader = 1;
inline constexpr std::size_t kMostFuzzSteps = 1000;
inline constexpr std::size_t kMostInFuzzBatch = 16;

/// 1 to 16; also of no bytes.
[[nodiscard]] std::size_t fuzz_capacity(FuzzBytes input);
[[nodiscard]] std::vector<FuzzStep> fuzz_steps(FuzzBytes input);
[[nodiscard]] std::vector<FuzzScribble> fuzz_scribbles(FuzzBytes input);

/// Does it.
void scribble(std::span<std::byte> memory, const FuzzScribble& how);

/// The n-th of the random inputs of a seed.
[[nodiscard]] std::vector<std::uint8_t> random_calls(std::uint64_t seed, std::uint64_t n);
[[nodiscard]] std::vector<std::uint8_t> random_scribbles(std::uint64_t seed, std::uint64_t n);

/// As a person reads it, with the bytes themselves at the end.
[[nodiscard]] std::string text_of_calls(FuzzBytes input);
[[nodiscard]] std::string text_of_scribbles(FuzzBytes input);
/// What was done, a call to a line, the last of which may not be; and what was in the queue then.
[[nodiscard]] std::string text_of_mismatch(std::span<const testkit::QueueCall> calls,
                                           const testkit::QueueModel& model);
/// "7f 03", for a file to be replayed.
[[nodiscard]] std::string hex_of(FuzzBytes input);

/// The finding of a run on random inputs: in which case, what, and the input; or nothing.
[[nodiscard]] std::string text_of_fuzz(const std::string& kind, std::uint64_t seed,
                                       const WatchedRun& run, std::string (*show)(FuzzBytes),
                                       std::vector<std::uint8_t> (*make)(std::uint64_t seed,
                                                                         std::uint64_t n));

/// Prints it to standard error and aborts.
[[noreturn]] void abort_with(const std::string& text);

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_FUZZ_INPUT_H_
