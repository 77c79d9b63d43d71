// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/queue_traffic.h"

#include <cstddef>
#include <string>

#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/yardsticks.h"

namespace sluice::internal {

using bench::Better;
using bench::Case;
using bench::Yardstick;

Case one_way_case(std::size_t bytes) {
  return {.group = "queue",
          .name = "queue/oneway/" + std::to_string(bytes),
          .unit = "Mmsg/s",
          .better = Better::higher,
          .limit = Yardstick::reference_ring};
}

Case round_trip_case(const std::string& name) {
  return {.group = "queue",
          .name = name,
          .unit = "ns",
          .better = Better::lower,
          .limit = Yardstick::pingpong,
          .figures = {"", "/p99", "/p99.9"}};
}

Case latency_case() {
  return {.group = "queue",
          .name = "queue/latency/64",
          .unit = "ns",
          .better = Better::lower,
          .limit = Yardstick::pingpong,
          .per_limit = 0.5,  // one way
          .figures = {"/p50", "/p99", "/p99.9"}};
}

Case many_case(std::size_t sides) {
  const std::string many = std::to_string(sides);
  return {.group = "queue",
          .name = "queue/" + many + "x" + many + "/8",
          .unit = "Mitem/s",
          .better = Better::higher,
          .limit = Yardstick::reference_ring};
}

}  // namespace sluice::internal
