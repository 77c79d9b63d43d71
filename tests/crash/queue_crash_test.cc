// SPDX-License-Identifier: Apache-2.0
//
// The record queue under Queue<T>, its producers' seats, and Queue<T> itself, killed everywhere
// while pushing, popping, growing and closing.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/producer_seats.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/record_queue.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/help.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::RealLockEnv;
using testkit::CrashOperation;
using testkit::SharedArea;

constexpr std::size_t kStorage = 1024;

/// Each record is its number, repeated: as long as the number says, so that a torn one is seen.
std::uint64_t words_of(std::uint64_t number) { return 1 + number % 3; }

/// What is known of each number, outside of the queue.
enum Known : std::uint8_t {
  kTried = 1,   ///< a push had begun
  kPushed = 2,  ///< that had returned
  kTaken = 4,   ///< a pop has seen it, and may have been killed
  kPopped = 8,  ///< that had returned
};

struct Area {
  std::array<std::uint8_t, 512> known;
  std::uint64_t next;     ///< the first number that nobody has used
  std::uint64_t closing;  ///< 1: a close had begun; 2: it had returned
};

template <class Env>
class QueueCrashOf : public testing::Test {
 protected:
  using Queue = internal::BasicRecordQueue<Env>;

  QueueCrashOf() : slices_({.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}) {}

  Queue queue() { return Queue(segment_.object(), growth_ ? &*growth_ : nullptr); }

  void mark(std::uint64_t first, std::size_t n, Known as) {
    for (std::size_t i = 0; i < n; ++i) area_->known.at(first + i) |= as;
  }

  Status push(std::size_t n) {
    const std::uint64_t first = area_->next;
    area_->next = first + n;
    mark(first, n, kTried);
    std::size_t done = 0;
    const Status status = queue().push(
        n, [&](std::size_t i) { return 8 * words_of(first + i); },
        [&](std::size_t i, std::span<std::byte> room) {
          const std::uint64_t number = first + i;
          for (std::size_t at = 0; at < room.size(); at += 8) {
            std::memcpy(&room[at], &number, 8);
          }
        },
        done, 2s);
    mark(first, done, kPushed);
    return status;
  }

  /// What is wrong with the record, or an empty string.
  static std::string number_in(std::span<const std::byte> bytes, std::uint64_t& number) {
    if (bytes.size() < 8) return "a short record";
    std::memcpy(&number, bytes.data(), 8);
    if (bytes.size() != 8 * words_of(number)) return "a record of the wrong length";
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      if (std::memcmp(&bytes[at], &number, 8) != 0) return "a torn record";
    }
    return "";
  }

  /// Its numbers, in order; what is wrong goes to `wrong`.
  Status pop(std::size_t n, std::string& wrong) {
    std::array<std::uint64_t, 64> numbers = {};
    std::size_t done = 0;
    std::size_t seen = 0;
    const Status status = queue().pop(
        std::min(n, numbers.size()),
        [&](std::span<const std::byte> bytes) {
          std::uint64_t& number = numbers.at(seen);
          if (wrong.empty()) wrong = number_in(bytes, number);
          if (wrong.empty() && number >= area_->known.size()) wrong = "no such number";
          if (!wrong.empty()) return Status::corrupt;
          mark(number, 1, kTaken);
          ++seen;
          return Status::ok;
        },
        done, 2s);
    for (std::size_t i = 0; i < done; ++i) {
      if (i > 0 && numbers.at(i) <= numbers.at(i - 1)) wrong = "out of order";
      if ((area_->known.at(numbers.at(i)) & kPopped) != 0) wrong = "twice";
      if ((area_->known.at(numbers.at(i)) & kTried) == 0) wrong = "never pushed";
      mark(numbers.at(i), 1, kPopped);
    }
    return status;
  }
  Status pop(std::size_t n) {
    std::string wrong;
    const Status status = pop(n, wrong);
    if (!wrong.empty()) throw std::logic_error(wrong);
    return status;
  }

  void must_push(std::size_t n) {
    if (const Status s = push(n); s != Status::ok) throw std::logic_error("push failed");
  }
  void must_pop(std::size_t n) {
    if (const Status s = pop(n); s != Status::ok) throw std::logic_error("pop failed");
  }

  /// Takes what is there, which must be all that was pushed and not taken.
  std::string drain() {
    std::string wrong;
    Status status = Status::ok;
    while (status == Status::ok && wrong.empty()) status = pop(64, wrong);
    if (!wrong.empty()) return wrong;
    if (status != Status::empty && status != Status::closed) {
      return "pop: " + std::string(to_string(status));
    }
    for (std::uint64_t i = 0; i < area_->next; ++i) {
      const std::uint8_t known = area_->known.at(i);
      if ((known & kPushed) != 0 && (known & kTaken) == 0) return "acknowledged, and lost";
    }
    return queue().size() == 0 ? "" : "not empty after all";
  }

  std::string inspect() {
    if (const std::string wrong = drain(); !wrong.empty()) return wrong;
    const auto state = queue().state();
    if (area_->closing == 2 && state == internal::QueueState::open) return "open again";
    if (area_->closing == 0 && state != internal::QueueState::open) return "closed by nobody";
    const Status expected = state == internal::QueueState::open ? Status::ok : Status::closed;
    // More than once around.
    for (int i = 0; i < 40; ++i) {
      if (const Status s = push(1); s != expected) return "push: " + std::string(to_string(s));
      if (expected == Status::closed) return "";
      if (push(2) != Status::ok) return "no room for two";
      if (const std::string wrong = drain(); !wrong.empty()) return wrong;
    }
    return "";
  }

  /// `before`: records that are pushed, of which `gone` are popped, before the victim comes.
  CrashOperation on_queue(const std::string& name, std::uint64_t window, std::size_t before,
                          std::size_t gone, std::function<void()> operation,
                          Help help = Help::kernel) {
    CrashOperation op{.name = name + in_words(help)};
    op.shared = {area_.bytes(), segment_.object()};
    op.setup = [this, window, before, gone] {
      area_.reset();
      const std::span<std::byte> memory = segment_.object();
      std::ranges::fill(memory, std::byte{0});
      internal::format_records<Env>(
          memory, {.max_items = 100, .max_bytes = kStorage, .first_window = window});
      // All of it has memory already: what asking the kernel for it costs would be stepped.
      internal::attach_object<internal::RecordControl<Env>>(memory)->push.backed.raw = kStorage;
      for (std::size_t i = 0; i < before; ++i) static_cast<void>(push(1));
      for (std::size_t i = 0; i < gone; ++i) static_cast<void>(pop(1));
    };
    op.prepare = [help] { attach_with(help); };
    op.operation = std::move(operation);
    op.survivor = [this](bool) { return inspect(); };
    op.prepare_recovery = [help] { attach_with(help); };
    op.recover = [this] {
      static_cast<void>(push(2));
      static_cast<void>(pop(1));
    };
    return op;
  }

  SharedArea<Area> area_;
  Segment segment_ = Segment::create_anonymous({.name = "test", .version = 1, .fingerprint = 1},
                                               internal::kRecordStorageOffset + kStorage,
                                               [](std::span<std::byte>) {});
  CrashOperation that_unwraps(const std::string& name) {
    // 0 takes 16, 1 24, 2 32 and 3 16 again: it finds no room.
    CrashOperation op = on_queue(name, 64, 0, 0, [this] { must_push(1); });
    op.setup = [this, set = op.setup] {
      set();
      must_push(2);
      must_pop(1);
      must_push(1);  // 24 and 32 of 64, from 16 on: it goes on at the beginning
    };
    return op;
  }

  std::optional<internal::GrowingMemory> growth_;  ///< for those that give memory back

 private:
  ScopedWaitPolicy slices_;
};

using QueueCrash = QueueCrashOf<RealLockEnv>;

TEST_F(QueueCrash, Push) {
  for (const Help help : {Help::kernel, Help::none}) {
    expect_intact(on_queue("queue push", kStorage, 2, 1, [this] { must_push(1); }, help));
  }
}

TEST_F(QueueCrash, Pop) {
  for (const Help help : {Help::kernel, Help::none}) {
    expect_intact(on_queue("queue pop", kStorage, 3, 1, [this] { must_pop(1); }, help));
  }
}

TEST_F(QueueCrash, BesideTheLiving) {
  CrashOperation op =
      on_queue("queue push and pop, another pops and pushes", kStorage, 3, 1, [this] {
        must_push(1);
        must_pop(1);
      });
  op.recover = nullptr;
  op.interfere = [this] {
    // The frozen one may hold either lock.
    std::size_t done = 0;
    static_cast<void>(
        queue().pop(1, [](std::span<const std::byte>) { return Status::corrupt; }, done, 1ms));
    static_cast<void>(queue().size());
    if (queue().bytes() > kStorage) throw std::logic_error("more than there can be");
  };
  expect_intact(op);
}

TEST_F(QueueCrash, Batches) {
  expect_intact(on_queue("queue push of three", kStorage, 2, 1, [this] { must_push(3); }));
  expect_intact(on_queue("queue pop of three", kStorage, 5, 1, [this] { must_pop(3); }));
}

TEST_F(QueueCrash, GrowingInOnePiece) {
  // 64 bytes: what is there ends before the window does, and the next one does not fit.
  expect_intact(on_queue("queue push that widens", 64, 2, 0, [this] { must_push(1); }));
}

TEST_F(QueueCrash, GrowingWhileWrapped) { expect_intact(that_unwraps("queue push that unwraps")); }

TEST_F(QueueCrash, BeginningAnew) {
  growth_.emplace(segment_, internal::kRecordStorageOffset, "a queue");
  CrashOperation op = on_queue("queue pop that finds it empty, and begins anew", 64, 5, 5, [this] {
    if (pop(1) != Status::empty) throw std::logic_error("not empty");
  });
  op.survivor = [this](bool) -> std::string {
    // A recovery that was killed may have left what it had pushed.
    if (const std::string wrong = drain(); !wrong.empty()) return wrong;
    if (queue().bytes() != 0) return "empty, and of some bytes";
    for (int i = 0; i < 20; ++i) {
      if (push(1) != Status::ok) return "no room";
      if (const std::string wrong = drain(); !wrong.empty()) return wrong;
    }
    return "";
  };
  op.recover = [this] {
    must_push(1);
    must_pop(1);
  };
  expect_intact(op);
}

TEST_F(QueueCrash, Close) {
  for (const bool drop : {false, true}) {
    CrashOperation op =
        on_queue(drop ? "queue close, dropping" : "queue close", kStorage, 3, 1, [this, drop] {
          area_->closing = 1;
          static_cast<void>(queue().close(drop));
          area_->closing = 2;
        });
    if (drop) {
      op.survivor = [this](bool completed) -> std::string {
        if (completed != (queue().state() == internal::QueueState::dropped) && completed) {
          return "acknowledged, and not closed";
        }
        if (queue().state() == internal::QueueState::dropped) {
          return queue().size() == 0 && push(1) == Status::closed ? "" : "dropped, and still there";
        }
        area_->closing = 0;
        return inspect();
      };
    }
    expect_intact(op);
  }
}

// -------------------------------------------------------------------------------------------------
// Mutants

/// Moves the end of the content, and widens the window in a second step.
struct TornEnv : RealLockEnv {
  template <class T>
  static void store(internal::Word<T>& word, T value, std::memory_order order) noexcept {
    if constexpr (std::is_same_v<T, std::uint64_t>) {
      // Release: what is tested is the step in between, not the orders.
      if (order == std::memory_order_release) {
        constexpr T kWindow = T{0x3f} << 58;
        const T old = RealLockEnv::load(word, std::memory_order_relaxed);       // relaxed: as above
        RealLockEnv::store(word, (value & ~kWindow) | (old & kWindow), order);  // the fault
      }
    }
    RealLockEnv::store(word, value, order);
  }
};
using TornQueueCrash = QueueCrashOf<TornEnv>;

TEST_F(TornQueueCrash, MutantThatWidensInTwoStepsIsFound) {
  expect_found(that_unwraps("mutant: widens in two steps"), "corrupt");
}

// -------------------------------------------------------------------------------------------------
// The seats of producers

struct SeatArea {
  internal::ProducerSeats seats;
  std::uint64_t took, left;
  std::uint64_t recovering;  ///< another producer has come, who may die as well
};

class SeatCrash : public testing::Test {
 protected:
  CrashOperation on_seats(const std::string& name, std::function<void()> operation) {
    CrashOperation op{.name = name};
    op.shared = {area_.bytes()};
    op.setup = [this] { area_.reset(); };
    op.prepare = [] { attach(); };
    op.operation = std::move(operation);
    op.survivor = [this](bool) -> std::string {
      using State = internal::ProducerSeats::State;
      const State state = area_->seats.look();
      if (state == State::some) return "somebody is there";
      if (area_->took == 1 && state == State::nobody_yet) return "it had come";
      if (area_->left == 1 && state != State::all_left && area_->recovering == 0) {
        return "it had left";
      }
      if (area_->took == 1 && !leaves_ && state != State::all_gone) return "its death is not told";
      std::size_t seat = 0;
      if (area_->seats.take(participant::self(), seat) != Status::ok) return "no seat";
      if (area_->seats.look() != State::some) return "nobody, but I";
      area_->seats.leave(participant::self(), seat);
      return area_->seats.look() == State::some ? "I have left" : "";
    };
    op.prepare_recovery = [] { attach(); };
    op.recover = [this] {
      area_->recovering = 1;
      std::size_t seat = 0;
      static_cast<void>(area_->seats.take(participant::self(), seat));
      area_->seats.leave(participant::self(), seat);
    };
    return op;
  }

  SharedArea<SeatArea> area_;
  bool leaves_ = false;  ///< whether the operation leaves
};

TEST_F(SeatCrash, Take) {
  CrashOperation op = on_seats("producer's seat, taken", [this] {
    std::size_t seat = 0;
    static_cast<void>(area_->seats.take(participant::self(), seat));
    area_->took = 1;
  });
  expect_intact(op);
}

TEST_F(SeatCrash, TakeAndLeave) {
  leaves_ = true;
  expect_intact(on_seats("producer's seat, taken and left", [this] {
    std::size_t seat = 0;
    static_cast<void>(area_->seats.take(participant::self(), seat));
    area_->took = 1;
    area_->seats.leave(participant::self(), seat);
    area_->left = 1;
  }));
}

}  // namespace
}  // namespace sluice::tests
