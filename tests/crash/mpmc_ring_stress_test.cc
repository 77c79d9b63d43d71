// SPDX-License-Identifier: Apache-2.0
//
// The ring of many producers and consumers under random kills: two processes push, two pop, one of
// the four is killed every now and then. Each item whose push had returned comes out once, unless
// the consumer that had taken it is the one that died; none comes twice, none is torn, and the flow
// never stops. //tests/crash:mpmc_ring_soak goes on for 3,000 kills.

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <span>
#include <string>

#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/kill_stress.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/item.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::KillStress;
using testkit::KillStressOptions;
using testkit::KillStressResult;
using testkit::SharedArea;

using Ring = MpmcRing<Item>;
constexpr std::size_t kCapacity = 50;
constexpr unsigned kSides = 2;
constexpr std::uint64_t kMost = std::uint64_t{1} << 28;  // items of one producer

struct Shared {
  alignas(kNoSharing) std::array<std::byte, 4096> memory;
  // Of each producer: what it began to push last, and what it has pushed. Of each consumer: what it
  // is about to take, and how many it has taken.
  std::atomic<std::uint64_t> tried[kSides], acknowledged[kSides], taking[kSides], taken[kSides];
};

/// One byte for each item that there may be; the untouched ones cost nothing.
class Marks {
 public:
  static constexpr std::size_t kSize = kSides * kMost;
  enum Mark : unsigned char { seen = 1, twice = 2, unsure = 4 };

  Marks()
      : marks_(
            static_cast<unsigned char*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                                             MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
    if (marks_ == MAP_FAILED) std::abort();
  }
  Marks(const Marks&) = delete;
  Marks& operator=(const Marks&) = delete;
  ~Marks() { munmap(marks_, kSize); }

  [[nodiscard]] unsigned char of(std::uint64_t number) const {
    // Relaxed, here and below: marks are read when their writers are dead.
    return std::atomic_ref(marks_[number]).load(std::memory_order_relaxed);
  }
  void see(std::uint64_t number) {
    // Relaxed: as above.
    const auto before = std::atomic_ref(marks_[number]).fetch_or(seen, std::memory_order_relaxed);
    if ((before & seen) != 0) {
      std::atomic_ref(marks_[number]).fetch_or(twice, std::memory_order_relaxed);  // as above
    }
  }
  void doubt(std::uint64_t number) {
    std::atomic_ref(marks_[number]).fetch_or(unsure, std::memory_order_relaxed);  // as above
  }

 private:
  unsigned char* marks_;
};

class MpmcRingStress : public testing::Test {
 protected:
  void push_for_ever(unsigned side) {
    settle_producer(side);
    Ring::Producer producer(area_->memory);
    for (;;) {
      const std::uint64_t next = area_->tried[side] + 1;
      if (next >= kMost) std::abort();
      area_->tried[side] = next;
      const Item item = Item::of(side * kMost + next);
      for (unsigned i = 0; producer.try_push(item) != Status::ok; ++i) wait_a_little(producer, i);
      area_->acknowledged[side] = next;
    }
  }
  void pop_for_ever(unsigned side) {
    settle_consumer(side);
    Ring::Consumer consumer(area_->memory);
    for (unsigned i = 0;; ++i) {
      if (take_one(consumer, side)) {
        i = 0;
      } else {
        wait_a_little(consumer, i);
      }
    }
  }
  bool take_one(Ring::Consumer& consumer, unsigned side) {
    const Item* const there = consumer.try_peek();
    if (there == nullptr) {
      if (consumer.status() != Status::empty) std::abort();
      return false;
    }
    const Item item = *there;
    if (!item.is_whole() || item.number >= Marks::kSize) std::abort();
    area_->taking[side] = item.number;
    consumer.release();
    marks_.see(item.number);
    area_->taking[side] = 0;
    ++area_->taken[side];
    return true;
  }
  template <class Side>
  static void wait_a_little(Side& side, unsigned in_vain) {
    if (side.status() == Status::corrupt) std::abort();
    if (in_vain % 20 == 19) {
      side.suspect_claims();
      sched_yield();
    }
  }

  /// What the predecessor had begun may have been done or not.
  void settle_producer(unsigned side) {
    const std::uint64_t last = area_->tried[side];
    if (last != area_->acknowledged[side]) marks_.doubt(side * kMost + last);
  }
  void settle_consumer(unsigned side) {
    const std::uint64_t last = area_->taking[side].exchange(0);
    if (last != 0) marks_.doubt(last);
  }

  std::string verdict() {
    for (unsigned side = 0; side < kSides; ++side) {
      settle_producer(side);
      settle_consumer(side);
    }
    Ring::Consumer consumer(area_->memory);
    do {
      consumer.suspect_claims();
    } while (take_one(consumer, 0));
    if (!consumer.empty()) return "not empty in the end";
    std::uint64_t twice = 0, missing = 0, unsure = 0, all = 0;
    for (unsigned side = 0; side < kSides; ++side) {
      for (std::uint64_t n = 1; n <= area_->tried[side]; ++n, ++all) {
        const unsigned char mark = marks_.of(side * kMost + n);
        twice += (mark & Marks::twice) != 0 ? 1 : 0;
        unsure += (mark & Marks::unsure) != 0 ? 1 : 0;
        missing += (mark & (Marks::seen | Marks::unsure)) == 0 ? 1 : 0;
      }
    }
    std::cout << "[   STRESS ] " << all << " pushed, " << unsure << " in the hands of the dead, "
              << twice << " twice, " << missing << " missing" << std::endl;
    return twice + missing == 0 ? "" : "items twice or missing";
  }

  SharedArea<Shared> area_;
  Marks marks_;
};

TEST_F(MpmcRingStress, EachItemComesOutOnceWhoeverIsKilled) {
  KillStress stress{.name = "mpmc ring, 2 push, 2 pop"};
  stress.workers = 2 * kSides;
  stress.setup = [this] {
    area_.reset();
    Ring::format(area_->memory, kCapacity);
  };
  stress.work = [this](unsigned worker) {
    const unsigned side = worker / 2;
    worker % 2 == 0 ? push_for_ever(side) : pop_for_ever(side);
  };
  stress.progress = [this](unsigned worker) {
    const unsigned side = worker / 2;
    return (worker % 2 == 0 ? area_->acknowledged : area_->taken)[side].load();
  };
  stress.verdict = [this] { return verdict(); };
  // The kills decide. On a busy machine who yields may wait for seconds.
  KillStressOptions options{.duration = 1ms, .min_kills = 200, .hang_after = 20s};
  const char* const kills = std::getenv("SLUICE_SOAK_KILLS");
  if (kills != nullptr) options.min_kills = std::strtoull(kills, nullptr, 10);
  const KillStressResult result = kill_stress(stress, options);
  std::cout << "[   STRESS ] " << result << std::endl;
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_LT(result.longest_pause, 5s);
}

}  // namespace
}  // namespace sluice::tests
