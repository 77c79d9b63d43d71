// SPDX-License-Identifier: Apache-2.0
//
// What inspect_fuzz.cc lets the inspector take arbitrary bytes for. Shared by the target and by the
// maker of its corpus.

#ifndef SLUICE_FUZZ_INSPECT_INPUT_H_
#define SLUICE_FUZZ_INSPECT_INPUT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sluice/ipc/fingerprint.h"
#include "sluice/sync/barrier.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/event.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/once.h"
#include "sluice/sync/owned_semaphore.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/shared_mutex.h"

namespace sluice::fuzz {

/// How it is looked at.
enum Look : std::uint8_t {
  kAsFile = 1,          ///< as at a file of the user's
  kForeign = 2,         ///< the file's registry is another one
  kOwnIncarnation = 4,  ///< each word "HERE" becomes this registry's number
};

struct InspectedKind {
  std::string_view name;
  std::uint64_t (*fingerprint)();
  std::string_view type = "";
};

inline std::uint64_t no_fingerprint() { return 0; }

inline constexpr std::array kInspectedKinds = {
    InspectedKind{"pipe", no_fingerprint},
    InspectedKind{"connection", no_fingerprint},
    InspectedKind{"value", no_fingerprint, "unsigned8, 1 bytes"},
    InspectedKind{"value", no_fingerprint, "test.Quote, 40 bytes"},
    InspectedKind{"value", no_fingerprint, "test.Huge, 18446744073709551615 bytes"},
    InspectedKind{"array", no_fingerprint},
    InspectedKind{"raw_array", no_fingerprint},
    InspectedKind{"shareable_list", no_fingerprint},
    InspectedKind{"shared", no_fingerprint, "test.Bank"},
    InspectedKind{"shared", layout_fingerprint<Mutex>},
    InspectedKind{"shared", layout_fingerprint<SharedMutex<>>},
    InspectedKind{"shared", layout_fingerprint<ConditionVariable>},
    InspectedKind{"shared", layout_fingerprint<BoundedSemaphore>},
    InspectedKind{"shared", layout_fingerprint<OwnedSemaphore<8>>},
    InspectedKind{"shared", layout_fingerprint<Event>},
    InspectedKind{"shared", layout_fingerprint<Latch>},
    InspectedKind{"shared", layout_fingerprint<Once>},
    InspectedKind{"shared", layout_fingerprint<Barrier<>>},
};

/// What becomes this registry's number: "HERE".
inline constexpr std::uint32_t kHere = 0x45524548;

inline constexpr std::size_t kInspectHeader = 3;

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_INSPECT_INPUT_H_
