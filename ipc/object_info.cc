// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/object_info.h"

namespace sluice {

std::string ObjectInfo::kind() const { return stamp ? stamp->kind_name() : "?"; }

bool ObjectInfo::is_stale() const {
  return stamp && usage == Usage::unused && stamp->lifetime() == Lifetime::while_used;
}

}  // namespace sluice
