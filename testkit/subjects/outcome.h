// SPDX-License-Identifier: Apache-2.0
//
// What a Status is to an adapter of the kit. Internal.

#ifndef SLUICE_TESTKIT_SUBJECTS_OUTCOME_H_
#define SLUICE_TESTKIT_SUBJECTS_OUTCOME_H_

#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// ok is true; full, empty and closed are false; what else there is is thrown, as Error.
inline bool outcome_for_kit(Status status) {
  switch (status) {
    case Status::ok:
      return true;
    case Status::full:
    case Status::empty:
    case Status::closed:
      return false;
    default:
      throw Error(status, {.tried = "push to a queue, or pop"});
  }
}

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_SUBJECTS_OUTCOME_H_
