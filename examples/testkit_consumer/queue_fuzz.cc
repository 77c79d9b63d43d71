// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/queue_fuzz.h"

#include "adapter.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return sluice::testkit::fuzz_calls<Adapter>(data, size);
}
