// SPDX-License-Identifier: Apache-2.0
//
// The other calls on an end of a connection, its process killed after every instruction that
// matters: batches, messages into the caller's memory, what is skipped, looked for, or refused, and
// an end that is taken from the dead.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/connection_victim.h"
#include "sluice/tests/crash/item.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using testkit::CrashOperation;
using testkit::SharedArea;

// -------------------------------------------------------------------------------------------------
// Batches

class ConnectionCallsCrash : public ConnectionCrash {
 protected:
  /// Of three messages the first ones are there, whole and in order; all if it came to its end.
  CrashOperation batch_of_7_to_9(std::string name, std::function<void()> operation) {
    return on_connection(std::move(name), Victim::sends, with_100_and_101(), std::move(operation),
                         [](bool completed, const Numbers& found) {
                           const Numbers all = {100, 101, 7, 8, 9};
                           if (completed) return unless_one_of({all}, found);
                           return unless_one_of({{100, 101}, {100, 101, 7}, {100, 101, 7, 8}, all},
                                                found);
                         });
  }

  /// 7, in parts, and 101 behind it.
  [[nodiscard]] std::function<void()> with_a_long_7_and_101() const {
    return [this] {
      put_in_parts(memory_.ring(), message(7, kLong));
      put(memory_.ring(), 0, message(101));
    };
  }

  std::vector<std::string> batch_ = {message(7), message(8), message(9)};
};

TEST_F(ConnectionCallsCrash, SendEach) {
  CrashOperation op = batch_of_7_to_9("connection send_each",
                                      [this] { static_cast<void>(pair_.first.send_each(batch_)); });
  op.recover = nullptr;  // as for one message, which has its second deaths elsewhere
  expect_intact(op);
  look_first_ = false;
  op.interfere = nullptr;
  expect_intact(op);
}

TEST_F(ConnectionCallsCrash, MutantThatSendsABatchFromItsEndIsFound) {
  expect_found(batch_of_7_to_9("mutant: send_each from the end",
                               [this] {
                                 for (const std::size_t i : {2, 1, 0}) {
                                   static_cast<void>(pair_.first.send(batch_[i]));
                                 }
                               }),
               "found [100 101 9]");
}

/// What had been taken may be lost with the dead; the rest is there, whole and in order.
TEST_F(ConnectionCallsCrash, RecvEach) {
  std::vector<std::string> received;
  received.reserve(8);
  CrashOperation op = on_connection(
      "connection recv_each", Victim::receives, with_100_and_101(),
      [&] {
        if (pair_.second.recv_each(received, 2, Deadline::now()).count == 2) {
          notes_->taken = number_in(received[0]) * 1000 + number_in(received[1]);
        }
      },
      [this](bool completed, const Numbers& found) -> std::string {
        if (completed && notes_->taken != 100101) return "not received, or torn";
        if (completed) return unless_one_of({{}}, found);
        return unless_one_of({{100, 101}, {101}, {}}, found);
      });
  op.recover = nullptr;
  expect_intact(op);
}

TEST_F(ConnectionCallsCrash, MutantThatTakesTheSecondOfABatchFirstIsFound) {
  expect_found(
      on_connection(
          "mutant: recv_each that loses the one behind", Victim::receives, with_100_and_101(),
          [this] {
            std::string first;
            static_cast<void>(pair_.second.recv(first, Deadline::now()));
            static_cast<void>(pair_.second.skip());
            static_cast<void>(pair_.first.send(first));
          },
          [](bool, const Numbers& found) { return unless_one_of({{100, 101}, {101}, {}}, found); }),
      "found [100]");
}

// -------------------------------------------------------------------------------------------------
// Into the caller's memory

TEST_F(ConnectionCallsCrash, RecvInto) {
  std::array<std::byte, kShort> room;
  CrashOperation op = on_connection(
      "connection recv_into", Victim::receives, with_100_and_101(),
      [&] {
        if (pair_.second.recv_into(room).status == Status::ok) {
          const std::string text(reinterpret_cast<const char*>(room.data()), room.size());
          notes_->taken = number_in(text);
        }
      },
      [this](bool completed, const Numbers& found) -> std::string {
        if (completed && notes_->taken != 100) return "not received, or torn";
        if (completed) return unless_one_of({{101}}, found);
        return unless_one_of({{100, 101}, {101}}, found);
      });
  op.recover = nullptr;
  expect_intact(op);
}

TEST_F(ConnectionCallsCrash, WhatIsRefusedSinceItIsTooLargeStays) {
  std::array<std::byte, kShort - 1> room;
  for (const bool is_long : {false, true}) {
    CrashOperation op = on_connection(
        is_long ? "connection recv_into, too large, in parts" : "connection recv_into, too large",
        Victim::receives, is_long ? with_a_long_7_and_101() : with_100_and_101(),
        [&] { static_cast<void>(pair_.second.recv_into(room)); },
        [is_long](bool, const Numbers& found) {
          return unless_one_of({is_long ? Numbers{7, 101} : Numbers{100, 101}}, found);
        });
    op.recover = nullptr;
    expect_intact(op);
  }
}

// -------------------------------------------------------------------------------------------------
// Skipped, or only looked for

TEST_F(ConnectionCallsCrash, Skip) {
  for (const bool is_long : {false, true}) {
    CrashOperation op = on_connection(
        is_long ? "connection skip, in parts" : "connection skip", Victim::receives,
        is_long ? with_a_long_7_and_101() : with_100_and_101(),
        [this] { static_cast<void>(pair_.second.skip()); },
        [is_long](bool completed, const Numbers& found) {
          if (completed) return unless_one_of({{101}}, found);
          return unless_one_of({is_long ? Numbers{7, 101} : Numbers{100, 101}, {101}}, found);
        });
    op.interfere = nullptr;
    op.recover = nullptr;
    expect_intact(op);
  }
}

TEST_F(ConnectionCallsCrash, MutantThatSkipsTwoIsFound) {
  expect_found(
      on_connection(
          "mutant: skip of two", Victim::receives, with_100_and_101(),
          [this] {
            static_cast<void>(pair_.second.skip());
            static_cast<void>(pair_.second.skip());
          },
          [](bool, const Numbers& found) { return unless_one_of({{100, 101}, {101}}, found); }),
      "found []");
}

TEST_F(ConnectionCallsCrash, PC12_PollTakesNothing) {
  for (const bool is_long : {false, true}) {
    CrashOperation op = on_connection(
        is_long ? "connection poll, in parts" : "connection poll", Victim::receives,
        is_long ? with_a_long_7_and_101() : with_100_and_101(),
        [this] {
          if (!pair_.second.poll()) throw std::logic_error("something is there");
        },
        [is_long](bool, const Numbers& found) {
          return unless_one_of({is_long ? Numbers{7, 101} : Numbers{100, 101}}, found);
        });
    op.recover = nullptr;
    expect_intact(op);
  }
}

TEST_F(ConnectionCallsCrash, MutantWhosePollTakesAMessageIsFound) {
  std::string kept;
  kept.reserve(2 * kLong);
  expect_found(on_connection(
                   "mutant: poll that takes", Victim::receives, with_100_and_101(),
                   [&] { static_cast<void>(pair_.second.try_recv(kept)); },
                   [](bool, const Numbers& found) { return unless_one_of({{100, 101}}, found); }),
               "found [101]");
}

// -------------------------------------------------------------------------------------------------
// Taken from the dead

/// The tag of a process that was killed.
Tag dead_tag() {
  const SharedArea<std::atomic<Tag>> told;
  const pid_t child = fork();
  if (child == 0) {
    *told = participant::self();
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  return *told;
}

TEST_F(ConnectionCallsCrash, TakingAnEndFromTheDead) {
  const std::uint64_t of_the_dead =
      internal::EndWord{internal::EndState::open, dead_tag()}.packed();
  const auto before = [this, of_the_dead] {
    with_100_and_101()();
    auto& ends = *internal::attach_object<internal::EndWords>(memory_.object());
    std::memcpy(static_cast<void*>(&ends[0]), &of_the_dead, sizeof of_the_dead);
  };
  CrashOperation op = on_connection(
      "connection, taking an end from the dead", Victim::sends, before,
      [this] { use(pair_.first); },
      [](bool, const Numbers& found) { return unless_one_of({{100, 101}}, found); });
  op.prepare = [] { static_cast<void>(participant::self()); };
  op.interfere = nullptr;  // the survivor is the next to take it
  op.recover = nullptr;
  expect_intact(op);
}

TEST_F(ConnectionCallsCrash, MutantThatEmptiesWhatItTakesOverIsFound) {
  expect_found(on_connection(
                   "mutant: an end that is taken over anew", Victim::sends, with_100_and_101(),
                   [this] {
                     use(pair_.first);
                     ByteRing::format(memory_.ring(), kCapacity);
                   },
                   [](bool, const Numbers& found) { return unless_one_of({{100, 101}}, found); }),
               "corrupt");
}

}  // namespace
}  // namespace sluice::tests
