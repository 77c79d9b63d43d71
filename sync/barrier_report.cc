// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/barrier_report.h"

#include <ostream>
#include <stdexcept>
#include <string>

#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice {

std::ostream& operator<<(std::ostream& out, const BarrierReport& report) {
  switch (report.state) {
    case BarrierReport::State::open:
      break;
    case BarrierReport::State::acting:
      return out << "all " << report.parties << " wait, the action is run by "
                 << participant::to_text(report.by);
    case BarrierReport::State::broken:
      return out << "broken by " << participant::to_text(report.by) << ", " << report.parties
                 << " parties";
  }
  return out << report.waiting << " of " << report.parties << " wait";
}

namespace internal {

void throw_not_passed(Status status) {
  throw Error(status,
              {.tried = "wait at a barrier",
               .expected = "all parties to come",
               .hint = status == Status::broken
                           ? "reset() it once it is clear why: a party died, called abort(), "
                             "let its deadline pass, or its action threw"
                           : ""});
}

void refuse_parties(std::uint32_t parties, std::uint32_t seats) {
  throw std::invalid_argument("sluice::Barrier: " + std::to_string(parties) +
                              " parties, but there are 1 to " + std::to_string(seats) + " seats");
}

void refuse_leave() {
  throw std::logic_error(
      "sluice::Barrier: leave() by a process that is no party, or whose threads all wait");
}

}  // namespace internal
}  // namespace sluice
