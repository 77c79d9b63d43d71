// SPDX-License-Identifier: Apache-2.0
//
// A fuzz target, as a user writes it.

#include <cstddef>
#include <cstdint>

#include "sluice/testkit/queue_fuzz.h"
#include "sluice/tests/testkit/small_queues.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return sluice::testkit::fuzz_calls<sluice::tests::RingAdapter>(data, size);
}
