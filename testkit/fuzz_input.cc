// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/fuzz_input.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/watched_run.h"

namespace sluice::internal {
namespace {

using Random = std::mt19937_64;

constexpr std::size_t kScribbleBytes = 12;

Random random_of(std::uint64_t seed, std::uint64_t n) {
  return Random(seed * 0x9e37'79b9'7f4a'7c15 + n);
}

/// Numbers at which comparisons change their mind.
std::uint64_t interesting(Random& random) {
  switch (random() % 5) {
    case 0:
      return random();
    case 1:
      return random() % 4096;
    case 2:
      return std::uint64_t{1} << random() % 64;
    case 3:
      return random() % 5;
    default:
      return ~(std::uint64_t{1} << random() % 64) >> random() % 64;
  }
}

void append(std::vector<std::uint8_t>& bytes, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(number >> 8 * i));
  }
}

const char* name_of(FuzzCall call) {
  switch (call) {
    case FuzzCall::push:
    case FuzzCall::push_again:
      return "push";
    case FuzzCall::push_waiting:
      return "waiting push";
    case FuzzCall::pop:
    case FuzzCall::pop_again:
      return "pop";
    case FuzzCall::pop_waiting:
      return "waiting pop";
    case FuzzCall::push_batch:
      return "push_n";
    case FuzzCall::pop_batch:
      return "pop_n";
    case FuzzCall::size:
      return "size";
    case FuzzCall::other_party:
      return "other party";
    case FuzzCall::close:
      break;
  }
  return "close";
}

const char* name_of(FuzzAction action) {
  constexpr const char* kNames[kFuzzActions] = {"scribble", "push", "pop",   "push_n",
                                                "pop_n",    "size", "attach"};
  return kNames[static_cast<std::size_t>(action)];
}

std::size_t scribble_size(const FuzzScribble& how) { return how.what % 8 + 1; }

}  // namespace

std::size_t fuzz_capacity(FuzzBytes input) { return input.empty() ? 1 : input[0] % 16 + 1; }

std::vector<FuzzStep> fuzz_steps(FuzzBytes input) {
  std::vector<FuzzStep> steps;
  for (std::size_t i = kFuzzHeader; i < input.size() && steps.size() < kMostFuzzSteps; ++i) {
    const unsigned upper = input[i] / 16U;
    FuzzStep step{static_cast<FuzzCall>(input[i] % 16U % kFuzzCalls), upper + 1};
    if (step.call == FuzzCall::close && upper != 15) step.call = FuzzCall::size;
    steps.push_back(step);
  }
  return steps;
}

std::vector<FuzzScribble> fuzz_scribbles(FuzzBytes input) {
  std::vector<FuzzScribble> steps;
  input = input.subspan(std::min(input.size(), kFuzzHeader));
  for (; input.size() >= kScribbleBytes && steps.size() < kMostFuzzSteps;
       input = input.subspan(kScribbleBytes)) {
    FuzzScribble step{.action = static_cast<FuzzAction>(input[0] % kFuzzActions),
                      .where = 0,
                      .what = input[3],
                      .value = 0};
    std::memcpy(&step.where, &input[1], sizeof step.where);
    std::memcpy(&step.value, &input[4], sizeof step.value);
    steps.push_back(step);
  }
  return steps;
}

void scribble(std::span<std::byte> memory, const FuzzScribble& how) {
  if (memory.empty()) return;
  const std::size_t at = how.where % memory.size();
  const std::size_t size = std::min(scribble_size(how), memory.size() - at);
  std::uint64_t word = 0;
  std::memcpy(&word, &memory[at], size);
  switch (how.what / 8 % 4) {
    case 2:
      word += how.value;
      break;
    case 3:
      word ^= how.value;
      break;
    default:
      word = how.value;
  }
  std::memcpy(&memory[at], &word, size);
}

std::vector<std::uint8_t> random_calls(std::uint64_t seed, std::uint64_t n) {
  Random random = random_of(seed, n);
  std::vector<std::uint8_t> input(random() % 150 + 1);
  for (std::uint8_t& byte : input) byte = static_cast<std::uint8_t>(random());
  // Some are mostly full, some mostly empty: a pop becomes a push, or the other way.
  const unsigned bias = random() % 3;
  for (std::size_t i = kFuzzHeader; bias > 0 && i < input.size(); i += 3) {
    input[i] = static_cast<std::uint8_t>(bias == 1 ? FuzzCall::push : FuzzCall::pop);
  }
  return input;
}

std::vector<std::uint8_t> random_scribbles(std::uint64_t seed, std::uint64_t n) {
  Random random = random_of(seed, n);
  std::vector<std::uint8_t> input = {static_cast<std::uint8_t>(random())};
  for (std::size_t steps = random() % 24 + 1; steps > 0; --steps) {
    std::uint64_t where =
        random() % 4 == 0 ? random() : random() % 512;  // control words come first
    if (random() % 4 != 0) where &= ~std::uint64_t{7};
    // As often as all calls together.
    const auto call = static_cast<std::uint8_t>(random() % (kFuzzActions - 1) + 1);
    input.push_back(random() % 3 == 0 ? 0 : call);
    append(input, where, 2);
    append(input, random() % 2 == 0 ? 7 + 8 * (random() % 4) : random(), 1);
    append(input, interesting(random), 8);
  }
  return input;
}

std::string text_of_calls(FuzzBytes input) {
  std::ostringstream text;
  text << "capacity " << fuzz_capacity(input) << ':';
  for (const FuzzStep& step : fuzz_steps(input)) {
    text << ' ' << name_of(step.call);
    const bool is_batch = step.call == FuzzCall::push_batch || step.call == FuzzCall::pop_batch;
    if (is_batch) text << '(' << step.count << ')';
  }
  text << "\ninput: " << hex_of(input);
  return text.str();
}

std::string text_of_scribbles(FuzzBytes input) {
  constexpr const char* kHow[] = {" = ", " = ", " += ", " ^= "};
  std::ostringstream text;
  text << "capacity " << fuzz_capacity(input);
  for (const FuzzScribble& step : fuzz_scribbles(input)) {
    text << "\n  " << name_of(step.action);
    if (step.action != FuzzAction::scribble) continue;
    text << ' ' << scribble_size(step) << " bytes at " << step.where << kHow[step.what / 8 % 4]
         << std::hex << "0x" << step.value << std::dec;
  }
  text << "\ninput: " << hex_of(input);
  return text.str();
}

std::string text_of_mismatch(std::span<const testkit::QueueCall> calls,
                             const testkit::QueueModel& model) {
  std::ostringstream text;
  text << "a call gave what it may not give, the last of these:";
  for (const testkit::QueueCall& call : calls) text << "\n  " << call;
  text << "\nwith " << model.size() << " items in the queue";
  if (model.capacity() != testkit::QueueTraits::kAny) text << ", of " << model.capacity();
  text << (model.is_closed() ? ", closed:" : ":");
  for (const std::uint64_t item : model.items()) {
    text << ' ' << testkit::producer_of(item) << ':' << testkit::number_of(item);
  }
  return text.str();
}

std::string hex_of(FuzzBytes input) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : input) {
    if (!text.empty()) text += ' ';
    text += kDigits[byte / 16];
    text += kDigits[byte % 16];
  }
  return text;
}

std::string text_of_fuzz(const std::string& kind, std::uint64_t seed, const WatchedRun& run,
                         std::string (*show)(FuzzBytes),
                         std::vector<std::uint8_t> (*make)(std::uint64_t, std::uint64_t)) {
  if (run.wrong.empty()) return "";
  return kind + ", seed " + std::to_string(seed) + ", case " + std::to_string(run.last) + ": " +
         run.wrong + "\n" + show(make(seed, run.last));
}

void abort_with(const std::string& text) {
  std::fprintf(stderr, "%s\n", text.c_str());
  std::abort();
}

}  // namespace sluice::internal
