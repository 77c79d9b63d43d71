// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/status.h"

#include <string>

namespace sluice {
namespace {

class StatusCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "sluice"; }

  std::string message(int value) const override {
    switch (static_cast<Status>(value)) {
      case Status::ok:
        return "done";
      case Status::full:
        return "no room";
      case Status::empty:
        return "nothing there";
      case Status::timeout:
        return "the deadline passed";
      case Status::closed:
        return "closed";
      case Status::peer_died:
        return "the peer's process died";
      case Status::owner_died:
        return "the owner died holding it";
      case Status::too_large:
        return "too large";
      case Status::mismatch:
        return "of another kind, version or type";
      case Status::corrupt:
        return "corrupt";
      case Status::busy:
        return "held by another living process";
      case Status::stale:
        return "stale: all its users are gone";
      case Status::foreign_registry:
        return "made under another registry";
      case Status::registry_lost:
        return "the registry was removed while in use";
      case Status::broken:
        return "the barrier is broken";
      case Status::interrupted:
        return "interrupted by a signal";
    }
    return "unknown status " + std::to_string(value);
  }
};

}  // namespace

std::string_view to_string(Status status) noexcept {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::full:
      return "full";
    case Status::empty:
      return "empty";
    case Status::timeout:
      return "timeout";
    case Status::closed:
      return "closed";
    case Status::peer_died:
      return "peer_died";
    case Status::owner_died:
      return "owner_died";
    case Status::too_large:
      return "too_large";
    case Status::mismatch:
      return "mismatch";
    case Status::corrupt:
      return "corrupt";
    case Status::busy:
      return "busy";
    case Status::stale:
      return "stale";
    case Status::foreign_registry:
      return "foreign_registry";
    case Status::registry_lost:
      return "registry_lost";
    case Status::broken:
      return "broken";
    case Status::interrupted:
      return "interrupted";
  }
  return "unknown";
}

std::ostream& operator<<(std::ostream& out, Status status) { return out << to_string(status); }

const std::error_category& status_category() noexcept {
  // Never destroyed: an Error may still be printed while static objects are being torn down.
  static const StatusCategory& category = *new StatusCategory;
  return category;
}

std::error_code make_error_code(Status status) noexcept {
  return {static_cast<int>(status), status_category()};
}

}  // namespace sluice
