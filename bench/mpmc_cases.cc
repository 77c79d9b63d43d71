// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/mpmc_cases.h"

#include <cstddef>
#include <string>

#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/many_sides.h"
#include "sluice/bench/rivals/mpmc_queues.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {
namespace {

Case case_of(const std::string& group, std::size_t sides, std::size_t size) {
  const std::string many = std::to_string(sides);
  return {.group = "mpmc",
          .name = group + "/" + many + "x" + many + "/" + std::to_string(size),
          .unit = "Mitem/s",
          .better = Better::higher,
          .limit = Yardstick::reference_ring};
}

template <std::size_t kSize>
void add_case(Suite& suite, std::size_t sides) {
  using Item = Message<kSize>;
  suite.add(case_of("mpmc", sides, kSize),
            {{"sluice", {many_sides<SluiceMpmc<Item>, Item>("", sides)}},
             {"vyukov_unsafe",
              {many_sides<VyukovQueue<Item, 8>, Item>("packed", sides),
               many_sides<VyukovQueue<Item, kCacheLine>, Item>("line", sides)}},
             {"boost_lockfree", {many_sides<BoostQueue<Item>, Item>("", sides)}}});
}

}  // namespace

void add_mpmc_cases(Suite& suite) {
  add_case<8>(suite, 1);
  add_case<8>(suite, 2);
  add_case<8>(suite, 4);
  add_case<8>(suite, 8);
  add_case<8>(suite, 16);
  add_case<64>(suite, 1);
  add_case<64>(suite, 2);
  add_case<64>(suite, 4);
  add_case<1024>(suite, 1);
  add_case<1024>(suite, 2);
  add_case<1024>(suite, 4);
  suite.add(case_of("mpmc_batch", 2, 8),
            {{"sluice", {many_sides<SluiceMpmc<Message<8>>, Message<8>, true>("", 2)}}});
}

}  // namespace sluice::bench
