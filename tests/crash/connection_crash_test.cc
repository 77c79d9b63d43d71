// SPDX-License-Identifier: Apache-2.0
//
// An end of a connection, its process killed after every instruction that matters: while it sends
// and receives a message in parts, while it writes and reads in place, while it takes its end and
// gives it up.

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <string>

#include "sluice/ipc/connection.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/crash.h"
#include "sluice/tests/crash/connection_victim.h"
#include "sluice/tests/crash/item.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using testkit::CrashOperation;

// -------------------------------------------------------------------------------------------------
// Sending

TEST_F(ConnectionCrash, SendInParts) {
  const std::string text = message(7, kLong);
  expect_intact_for_both(send_of_7("connection send in parts",
                                   [this, text] { static_cast<void>(pair_.first.send(text)); }));
}

TEST_F(ConnectionCrash, MutantWhosePartsAreMessagesIsFound) {
  const std::string text = message(7, kLong);
  expect_found(send_of_7("mutant: send whose parts are messages",
                         [this, text] {
                           for (std::size_t at = 0; at < text.size(); at += kPart) {
                             static_cast<void>(pair_.first.send(text.substr(at, kPart)));
                           }
                         }),
               "a torn message");
}

TEST_F(ConnectionCrash, ReserveAndCommit) {
  const std::string text = message(7);
  expect_intact_for_both(send_of_7("connection reserve, commit", [this, text] {
    auto room = pair_.first.reserve(text.size());
    std::memcpy(room.bytes().data(), text.data(), text.size());
    room.commit();
  }));
}

TEST_F(ConnectionCrash, MutantThatCommitsBeforeItWritesIsFound) {
  const std::string text = message(7);
  expect_found(send_of_7("mutant: reserve that commits before it writes",
                         [this, text] {
                           auto room = pair_.first.reserve(text.size());
                           room.commit();
                           // Only for the compiler, which might mend the bug.
                           std::atomic_signal_fence(std::memory_order_seq_cst);
                           std::memcpy(room.bytes().data(), text.data(), text.size());
                         }),
               "a torn message");
}

// -------------------------------------------------------------------------------------------------
// Receiving

TEST_F(ConnectionCrash, ReceiveInParts) {
  std::string text;
  text.reserve(2 * kLong);
  expect_intact_for_both(on_connection(
      "connection receive in parts", Victim::receives,
      [this] {
        put_in_parts(memory_.ring(), message(7, kLong));
        put(memory_.ring(), 0, message(101));
      },
      [this, &text] {
        if (pair_.second.recv(text) == Status::ok) notes_->taken = number_in(text);
      },
      [this](bool completed, const Numbers& found) -> std::string {
        if (completed && notes_->taken != 7) return "not received, or torn";
        // Whoever had begun to take it has it, or nobody.
        if (completed) return unless_one_of({{101}}, found);
        return unless_one_of({{7, 101}, {101}}, found);
      }));
}

TEST_F(ConnectionCrash, PeekAndRelease) {
  expect_intact_for_both(on_connection(
      "connection peek, release", Victim::receives, with_100_and_101(),
      [this] {
        auto message = pair_.second.peek();
        notes_->taken = message.bytes().size();
        message.release();
      },
      [this](bool completed, const Numbers& found) -> std::string {
        if (completed) return unless_one_of({{101}}, found);
        if (notes_->taken == 0) return unless_one_of({{100, 101}}, found);
        return unless_one_of({{100, 101}, {101}}, found);
      }));
}

TEST_F(ConnectionCrash, MutantThatReleasesBeforeUseIsFound) {
  expect_found(
      on_connection(
          "mutant: peek that releases before the use", Victim::receives, with_100_and_101(),
          [this] {
            auto message = pair_.second.peek();
            message.release();
            // Only for the compiler, which might mend the bug.
            std::atomic_signal_fence(std::memory_order_seq_cst);
            notes_->taken = message.bytes().size();
          },
          [this](bool completed, const Numbers& found) -> std::string {
            if (completed) return unless_one_of({{101}}, found);
            if (notes_->taken == 0) return unless_one_of({{100, 101}}, found);
            return unless_one_of({{100, 101}, {101}}, found);
          }),
      "found [101]");
}

// -------------------------------------------------------------------------------------------------
// Whose an end is

TEST_F(ConnectionCrash, TakingAnEnd) {
  CrashOperation op = on_connection(
      "connection, taking an end", Victim::sends, with_100_and_101(), [this] { use(pair_.first); },
      [](bool, const Numbers& found) { return unless_one_of({{100, 101}}, found); });
  op.prepare = [] { static_cast<void>(participant::self()); };
  op.recover = nullptr;  // which would be the same, and takes minutes
  expect_intact_for_both(op);
}

TEST_F(ConnectionCrash, ClosingAnEnd) {
  expect_intact_for_both(on_connection(
      "connection, closing an end", Victim::sends, with_100_and_101(),
      [this] { pair_.first.close(); },
      [](bool, const Numbers& found) { return unless_one_of({{100, 101}}, found); }));
}

}  // namespace
}  // namespace sluice::tests
