// SPDX-License-Identifier: Apache-2.0
//
// And one of hostile memory.

#include <cstddef>
#include <cstdint>

#include "sluice/testkit/queue_fuzz.h"
#include "sluice/tests/testkit/small_queues.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return sluice::testkit::fuzz_memory<sluice::tests::RingAdapter>(data, size);
}
