// SPDX-License-Identifier: Apache-2.0
//
// A shared object with a copy of the library of its own, as a plugin has that was linked
// statically. Loaded by two_copies_test.

#include <cstdint>

#include "sluice/sync/participant.h"

extern "C" {

/// Attaches the copy, and returns its tag.
std::uint32_t second_copy_self() { return sluice::participant::self(); }

std::uint32_t second_copy_self_if_attached() { return sluice::participant::self_if_attached(); }

/// The copy's verdict on `tag`, as a number.
int second_copy_probe(std::uint32_t tag) {
  return static_cast<int>(sluice::participant::probe(tag));
}
}
