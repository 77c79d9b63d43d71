// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/executor.h"

namespace sluice::internal {

void throw_unfinished(std::size_t unfinished, std::size_t all) {
  throw Error(Status::timeout, {.tried = "wait for the next task to be done",
                                .found = std::to_string(unfinished) + " (of " +
                                         std::to_string(all) + ") futures unfinished"});
}

void throw_map_timeout() {
  throw Error(Status::timeout, {.tried = "wait for the next result of map()",
                                .hint = "the tasks that had not begun were cancelled"});
}

}  // namespace sluice::internal
