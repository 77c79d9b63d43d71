// SPDX-License-Identifier: Apache-2.0
//
// EventCount, its notifier or its waiter killed everywhere, where the kernel has membarrier(2) and
// where it refuses it. An event count has no owner, so the kernel's help with locks is nothing to
// it. What the dead leave must serve others: who lives and waits for an item gets one, at the
// latest at the end of a slice.

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>

#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/partner.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/kill_table.h"
#include "sluice/tests/crash/sleepers.h"
#include "sluice/tests/support/refused_call.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::CrashOperation;
using testkit::Partner;
using testkit::SharedArea;

/// How announcing and looking are kept in order.
enum class Barrier : std::uint8_t { membarrier, fence };

std::string in_words(Barrier barrier) {
  return barrier == Barrier::fence ? ", membarrier refused" : "";
}

/// In a process that has used no barrier yet.
void attach_with(Barrier barrier) {
  if (barrier == Barrier::fence) refuse_calls({{.number = SYS_membarrier, .error = EPERM}});
  attach();
}

struct Shared {
  EventCount changed;
  std::atomic<std::uint32_t> items;
  std::atomic<std::uint32_t> coming, gone;  ///< those who wait
};

class EventCountCrash : public testing::Test {
 protected:
  using Notify = std::function<void(EventCount&)>;

  bool take() {
    std::uint32_t items = area_->items;
    while (items != 0 && !area_->items.compare_exchange_weak(items, items - 1)) continue;
    return items != 0;
  }
  Status await_item(Deadline deadline) {
    return area_->changed.await(deadline, [this] { return take(); }, [] { return Status::ok; });
  }
  void give(std::uint32_t items, const Notify& notify) {
    area_->items += items;
    notify(area_->changed);
  }

  /// Who is not woken, because the notifier was killed, looks at the end of a slice; not while one
  /// is stepped, whose steps would not be the same every time.
  static WaitPolicy asleep_for(std::chrono::milliseconds slice) {
    return {.mode = WaitMode::block, .first_slice = slice, .longest_slice = slice};
  }

  /// `sleepers` wait for an item each, and the victim gives some.
  CrashOperation notifying(const std::string& name, Barrier barrier, std::uint32_t sleepers,
                           std::uint32_t items, const Notify& notify,
                           std::chrono::milliseconds slice = 150ms) {
    CrashOperation op{.name =
                          name + ", " + std::to_string(sleepers) + " asleep" + in_words(barrier)};
    // Not the items: others take them when they please.
    op.shared = {std::as_bytes(std::span(&area_->changed, 1))};
    op.setup = [this, barrier, sleepers, slice] {
      sleepers_.end();
      area_.reset();
      const auto body = [this, barrier, slice] {
        set_wait_policy(asleep_for(slice));
        attach_with(barrier);
        ++area_->coming;
        if (await_item(Deadline::never()) == Status::ok) ++area_->gone;
      };
      sleepers_.start(sleepers, body, [this, sleepers] {
        return area_->coming == sleepers && area_->changed.maybe_waiting();
      });
    };
    op.prepare = [barrier] { attach_with(barrier); };
    op.operation = [this, items, notify] { give(items, notify); };
    op.survivor = [this, sleepers](bool) {
      give(sleepers, [](EventCount& changed) { changed.notify_all(); });
      const auto end = std::chrono::steady_clock::now() + 2s;
      while (area_->gone != sleepers) {
        if (std::chrono::steady_clock::now() > end) return "somebody slept on, with an item there";
        usleep(200);
      }
      return "";
    };
    add_others(op, barrier);
    return op;
  }

  /// The interfering process and the recovering one. Each gives an item, and waits for one.
  void add_others(CrashOperation& op, Barrier barrier) {
    const auto use = [this] {
      give(1, [](EventCount& changed) { changed.notify_one(); });
      static_cast<void>(await_item(2ms));
    };
    op.prepare_recovery = [barrier] {
      set_wait_policy(asleep_for(10ms));
      attach_with(barrier);
    };
    op.interfere = [prepare = op.prepare_recovery, use] {
      prepare();
      use();
    };
    op.recover = use;
  }

  static void expect(const CrashOperation& op) { expect_intact(op, KillAt::each_instruction, 2); }

  SharedArea<Shared> area_;
  Sleepers sleepers_;
};

void notify_all(EventCount& changed) { changed.notify_all(); }
void notify_one(EventCount& changed) { changed.notify_one(); }

TEST_F(EventCountCrash, NotifyAll) {
  for (const Barrier barrier : {Barrier::membarrier, Barrier::fence}) {
    expect(notifying("notify_all", barrier, 2, 2, notify_all));
  }
}

TEST_F(EventCountCrash, NotifyOne) {
  for (const Barrier barrier : {Barrier::membarrier, Barrier::fence}) {
    expect(notifying("notify_one", barrier, 1, 1, notify_one));
    expect(notifying("notify_one", barrier, 2, 1, notify_one));
  }
}

/// The victim waits, and is given an item.
TEST_F(EventCountCrash, Await) {
  for (const Barrier barrier : {Barrier::membarrier, Barrier::fence}) {
    CrashOperation op{.name = "await" + in_words(barrier)};
    op.shared = {area_.bytes()};
    op.setup = [this] { area_.reset(); };
    op.prepare = [barrier] {
      set_wait_policy(asleep_for(500ms));
      attach_with(barrier);
    };
    op.operation = [this] {
      if (await_item(Deadline::never()) == Status::ok) ++area_->gone;
    };
    op.partner = [this, barrier](Partner& victim) {
      attach_with(barrier);
      victim.wait_until_blocked();
      give(1, notify_one);
    };
    op.survivor = [this](bool completed) -> std::string {
      if (completed && area_->gone != 1) return "waited, and took nothing";
      area_->items = 0;
      sleepers_.start(
          1,
          [this] {
            set_wait_policy(asleep_for(1h));
            ++area_->coming;
            if (await_item(Deadline::never()) == Status::ok) area_->gone = 7;
          },
          [this] { return area_->coming == 1; });
      give(1, notify_one);
      const auto end = std::chrono::steady_clock::now() + 2s;
      while (area_->gone != 7) {
        if (std::chrono::steady_clock::now() > end) return "a living waiter is not woken";
        usleep(200);
      }
      return "";
    };
    add_others(op, barrier);
    expect(op);
  }
}

/// As without slices: a notifier killed before its wake call leaves sleepers that nobody knows of.
TEST_F(EventCountCrash, MutantWithoutSlicesIsFound) {
  expect_found(
      notifying("mutant: waiters without slices", Barrier::membarrier, 1, 1, notify_all, 1h),
      "somebody slept on");
}

}  // namespace
}  // namespace sluice::tests
