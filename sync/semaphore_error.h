// SPDX-License-Identifier: Apache-2.0
//
// How semaphores say what went wrong where no Status is returned. Internal.
//
// If a process dies here: nothing is shared. Cost: an exception.

#ifndef SLUICE_SYNC_SEMAPHORE_ERROR_H_
#define SLUICE_SYNC_SEMAPHORE_ERROR_H_

#include <cstdint>

#include "sluice/sync/status.h"

namespace sluice::internal {

/// std::invalid_argument: more permits than a semaphore can have.
[[noreturn]] void refuse_permits(std::uint32_t permits, std::uint32_t most);

/// std::logic_error: `n` more would be more than the bound.
[[noreturn]] void refuse_release(std::uint32_t n, std::uint32_t value, std::uint32_t bound);

/// std::logic_error: the process holds none.
[[noreturn]] void refuse_release_by_stranger();

/// Error with what acquire() or release() met.
[[noreturn]] void throw_semaphore_error(const char* tried, Status status);

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_SEMAPHORE_ERROR_H_
