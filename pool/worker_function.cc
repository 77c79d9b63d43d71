// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/worker_function.h"

#include <bit>

#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

WorkerFunction WorkerFunction::arrived(TravellingFunction from) {
  if (from.module == 0) return {};
  return [from = std::move(from)] {
    CodeTable codes;
    const Code found = codes.find({from.module, from.offset});
    Decoder in(from.bytes);
    if (found != nullptr && std::bit_cast<TravellingEntry>(found)(in, codes)) return;
    throw Error(Status::mismatch, {.tried = "run a pool's initializer or finalizer",
                                   .expected = "a worker that has loaded the library that it is of",
                                   .found = "one that has not",
                                   .hint = "load the library before Pool::prepare()"});
  };
}

}  // namespace sluice::internal
