// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/spsc_cases.h"

#include <cstddef>
#include <memory>
#include <string>

#include "sluice/bench/harness/channels.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/rivals/boost_lockfree.h"
#include "sluice/bench/rivals/sluice_ring.h"

namespace sluice::bench {
namespace {

template <class Traffic, template <std::size_t, Spin> class Channel>
Subject spinning_subject(const std::string& name) {
  return {name,
          {Traffic::variant(
               "pause", [] { return std::make_shared<Channel<Traffic::kSize, Spin::pause>>(); }),
           Traffic::variant(
               "bare", [] { return std::make_shared<Channel<Traffic::kSize, Spin::bare>>(); })}};
}

template <class... Traffics>
void add_rings(Suite& suite) {
  (suite.add(Traffics::in_group("spsc"),
             {spinning_subject<Traffics, SluiceRing>("sluice"),
              spinning_subject<Traffics, BoostLockfree>("boost_lockfree")}),
   ...);
}

/// 64 items of 8 bytes at a time: a message of 512 bytes, in items.
void add_batches(Suite& suite) {
  using Traffic = OneWay<64 * 8>;
  suite.add({.group = "spsc",
             .name = "spsc/batch64/8",
             .unit = "Mbatch/s",
             .better = Better::higher,
             .limit = Yardstick::reference_ring,
             .per_limit = 1.0 / 64},
            {spinning_subject<Traffic, SluiceRingInBatches>("sluice"),
             spinning_subject<Traffic, BoostLockfreeInBatches>("boost_lockfree")});
}

}  // namespace

void add_spsc_cases(Suite& suite) {
  add_batches(suite);
  add_rings<OneWay<8>, OneWay<64>, OneWay<256>, OneWay<1024>, OneWay<4096>, OneWay<65536>>(suite);
  add_rings<RoundTrip<8>, RoundTrip<64>, RoundTrip<1024>>(suite);
}

}  // namespace sluice::bench
