// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/semaphore_error.h"

#include <cstdint>
#include <stdexcept>
#include <string>

#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

void refuse_permits(std::uint32_t permits, std::uint32_t most) {
  throw std::invalid_argument("sluice: a semaphore with " + std::to_string(permits) +
                              " permits: at most " + std::to_string(most) + " are possible");
}

void refuse_release(std::uint32_t n, std::uint32_t value, std::uint32_t bound) {
  throw std::logic_error("sluice: release(" + std::to_string(n) +
                         ") of a semaphore whose value is " + std::to_string(value) +
                         " and whose bound is " + std::to_string(bound) +
                         ": more would be given back than were taken");
}

void refuse_release_by_stranger() {
  throw std::logic_error("sluice: release of an owned permit by a process that holds none");
}

void throw_semaphore_error(const char* tried, Status status) {
  if (status == Status::foreign_registry) {
    throw Error(status, {.tried = tried,
                         .expected = "a semaphore of this domain's registry",
                         .found = "one that was used under another",
                         .hint = "if nobody else uses it any more, reset() it"});
  }
  throw Error(status, {.tried = tried, .found = "bytes that others keep overwriting"});
}

}  // namespace sluice::internal
