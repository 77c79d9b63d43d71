// SPDX-License-Identifier: Apache-2.0
//
// What precedes Boost's managed memory in a segment of kind "boost" (ipc/boost_interprocess.h), for
// that header and for ipc/inspect.h, which knows nothing of Boost. Internal.
//
// In memory, at the start of the object:
//
//   0 the lock (sync/mutex.h, 16 bytes)    16 free bytes u64, for people    64 Boost's memory
//
// Whoever holds the lock writes the free bytes, before it gives the lock back. Nobody decides
// anything by them: they are as untrusted as the rest.
//
// If a process dies here: the lock is marked, and the free bytes are those from before.

#ifndef SLUICE_IPC_BOOST_LAYOUT_H_
#define SLUICE_IPC_BOOST_LAYOUT_H_

#include <cstdint>
#include <string_view>

#include "sluice/sync/mutex.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

inline constexpr std::string_view kBoostKind = "boost";
inline constexpr std::uint32_t kBoostVersion = 1;

struct alignas(kCacheLine) BoostControl {
  Mutex mutex;
  Word<std::uint64_t> free_bytes;
};
static_assert(Mappable<BoostControl> && sizeof(BoostControl) == kCacheLine);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_BOOST_LAYOUT_H_
