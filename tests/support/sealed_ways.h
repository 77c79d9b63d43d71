// SPDX-License-Identifier: Apache-2.0
//
// Runs one body of a test, a near and a far end of a sealed connection, in three ways: as two
// threads, as a parent with a forked child that inherits the connection, and as two processes that
// meet at an address. As connection_ways.h does it for connections: the near end in the calling
// thread.
//
//   TYPED_TEST(SealedBody, Answers) {
//     TypeParam::run(
//         {}, [](SealedConnection& far) { EXPECT_EQ(far.send(42), Status::ok); },
//         [](SealedConnection& near) { EXPECT_EQ(near.recv<int>(), 42); });
//   }

#ifndef SLUICE_TESTS_SUPPORT_SEALED_WAYS_H_
#define SLUICE_TESTS_SUPPORT_SEALED_WAYS_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "sluice/ipc/sealed_connection.h"
#include "sluice/ipc/sealed_end.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/way_names.h"

namespace sluice::tests {

/// An abstract address that nobody else on this machine uses.
inline std::string fresh_address() {
  static int count = 0;
  return "@sluice-test-" + std::to_string(getpid()) + "-" + std::to_string(++count) + "-" +
         std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
}

struct SealedThreads {
  static constexpr const char* kName = "Threads";

  template <class Far, class Near>
  static void run(const SealedOptions& options, Far far, Near near) {
    SealedPair pair = SealedConnection::pair(options);
    const std::jthread thread([&] {
      run_reporting([&] {
        SealedConnection end = std::move(pair.second);
        far(end);
      });
    });
    SealedConnection end = std::move(pair.first);  // closed before the thread is joined
    near(end);
  }
};

struct SealedByFork {
  static constexpr const char* kName = "Fork";

  template <class Far, class Near>
  static void run(const SealedOptions& options, Far far, Near near) {
    SealedPair pair = SealedConnection::pair(options);
    ChildParty child([&] {
      SealedConnection end = std::move(pair.second);
      far(end);
    });
    pair.second.close();
    {
      SealedConnection end = std::move(pair.first);
      near(end);
    }
    child.finish();
  }
};

struct SealedByAddress {
  static constexpr const char* kName = "Address";

  template <class Far, class Near>
  static void run(const SealedOptions& options, Far far, Near near) {
    const std::string address = fresh_address();
    Gate listening;
    ChildParty child([&] {  // forked first: it inherits nothing
      listening.wait();
      auto end = SealedConnection::connect(address, std::chrono::seconds(20), options);
      far(end);
    });
    {
      SealedListener listener(address, options);
      listening.open();
      auto end = listener.accept(std::chrono::seconds(20));
      ASSERT_TRUE(end);
      near(*end);
    }
    child.finish();
  }
};

using AllSealed = testing::Types<SealedThreads, SealedByFork, SealedByAddress>;

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_SEALED_WAYS_H_
