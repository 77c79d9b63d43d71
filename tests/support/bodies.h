// SPDX-License-Identifier: Apache-2.0
//
// Runs one body of a test, a producer and a consumer of a pipe, in three ways: as two threads, as a
// parent with a forked child that inherits the pipe, and as two processes that meet by name.
//
//   template <class Way>
//   class PipeBody : public testing::Test {};
//   TYPED_TEST_SUITE(PipeBody, AllWays, WayNames);
//
//   TYPED_TEST(PipeBody, CarriesANumber) {
//     TypeParam::run(
//         1 << 12, [](Sender& tx) { EXPECT_EQ(tx.send(42), Status::ok); },
//         [](Receiver& rx) { EXPECT_EQ(rx.recv<int>(), 42); });
//   }
//
// The consumer runs in the calling thread, the producer on the other side of the fence, wherever
// that is: its EXPECT and ASSERT failures and its exceptions are reported as failures of the test.
// Each side's end is closed when its callable returns. A producer that does not end is killed after
// kChildLimit where it is a process; a consumer that does not end is Bazel's to stop.

#ifndef SLUICE_TESTS_SUPPORT_BODIES_H_
#define SLUICE_TESTS_SUPPORT_BODIES_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <thread>
#include <utility>

#include "sluice/ipc/pipe.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/way_names.h"

namespace sluice::tests {

/// A name that no other body of this run has used.
std::string fresh_object_name();

struct OverThreads {
  static constexpr const char* kName = "Threads";

  template <class Produce, class Consume>
  static void run(std::size_t capacity, Produce produce, Consume consume) {
    Pipe pipe = Pipe::create(capacity);
    const std::jthread producer([&] {
      run_reporting([&] {
        Sender tx = std::move(pipe.sender);
        produce(tx);
      });
    });
    Receiver rx = std::move(pipe.receiver);  // closed before the thread is joined
    consume(rx);
  }
};

struct OverFork {
  static constexpr const char* kName = "Fork";

  template <class Produce, class Consume>
  static void run(std::size_t capacity, Produce produce, Consume consume) {
    Pipe pipe = Pipe::create(capacity);
    ChildParty producer([&] {
      Sender tx = std::move(pipe.sender);
      produce(tx);
    });
    // A copy that may still be used would keep the stream open after a producer that fails before
    // it has sent anything.
    pipe.sender.close();
    {
      Receiver rx = std::move(pipe.receiver);
      consume(rx);
    }
    producer.finish();
  }
};

struct OverName {
  static constexpr const char* kName = "Name";

  template <class Produce, class Consume>
  static void run(std::size_t capacity, Produce produce, Consume consume) {
    const std::string name = fresh_object_name();
    Gate created;
    ChildParty producer([&] {  // forked first: it inherits nothing of the pipe
      created.wait();
      Sender tx = Sender::open(name);
      produce(tx);
    });
    {
      Receiver rx = Receiver::create(name, capacity);
      created.open();
      consume(rx);
    }
    producer.finish();
  }
};

using AllWays = testing::Types<OverThreads, OverFork, OverName>;

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_BODIES_H_
