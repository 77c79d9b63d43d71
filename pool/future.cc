// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/future.h"

#include "sluice/pool/type_name.h"

namespace sluice::internal {

std::ostream& print_outcome(std::ostream& out, const FutureBase& state,
                            const std::type_info& result) {
  out << "Future: ";
  switch (state.status()) {
    case FutureStatus::pending:
      return out << (state.running() ? "running" : "pending");
    case FutureStatus::running:
      return out << "running";
    case FutureStatus::finished:
      return out << "finished, returned " << readable_name_of(result);
    case FutureStatus::failed:
      return out << "failed, threw " << describe(state.exception());
    case FutureStatus::cancelled:
      return out << "cancelled";
  }
  return out;
}

}  // namespace sluice::internal
