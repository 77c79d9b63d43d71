// SPDX-License-Identifier: Apache-2.0
//
// Runs one body of a test, a near and a far end of a connection, in three ways: as two threads, as
// a parent with a forked child that inherits the connection, and as two processes that meet by
// name. As bodies.h does it for pipes: the near end in the calling thread.
//
//   TYPED_TEST(ConnectionBody, Answers) {
//     TypeParam::run(
//         {.capacity = 1 << 12}, [](Connection& far) { EXPECT_EQ(far.send(42), Status::ok); },
//         [](Connection& near) { EXPECT_EQ(near.recv<int>(), 42); });
//   }

#ifndef SLUICE_TESTS_SUPPORT_CONNECTION_WAYS_H_
#define SLUICE_TESTS_SUPPORT_CONNECTION_WAYS_H_

#include <string>
#include <thread>
#include <utility>

#include "sluice/ipc/connection.h"
#include "sluice/tests/support/bodies.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {

struct ConnectedThreads {
  static constexpr const char* kName = "Threads";

  template <class Far, class Near>
  static void run(const ConnectionOptions& options, Far far, Near near) {
    ConnectionPair pair = Connection::pair(options);
    const std::jthread thread([&] {
      run_reporting([&] {
        Connection end = std::move(pair.second);
        far(end);
      });
    });
    Connection end = std::move(pair.first);  // closed before the thread is joined
    near(end);
  }
};

struct ConnectedByFork {
  static constexpr const char* kName = "Fork";

  template <class Far, class Near>
  static void run(const ConnectionOptions& options, Far far, Near near) {
    ConnectionPair pair = Connection::pair(options);
    ChildParty child([&] {
      Connection end = std::move(pair.second);
      far(end);
    });
    pair.second.close();  // lest it wait for itself, should the child fail before its first use
    {
      Connection end = std::move(pair.first);
      near(end);
    }
    child.finish();
  }
};

struct ConnectedByName {
  static constexpr const char* kName = "Name";

  template <class Far, class Near>
  static void run(const ConnectionOptions& options, Far far, Near near) {
    const std::string name = fresh_object_name();
    Gate created;
    ChildParty child([&] {  // forked first: it inherits nothing
      created.wait();
      Connection end = Connection::open(name);
      far(end);
    });
    {
      Connection end = Connection::create(name, options);
      created.open();
      near(end);
    }
    child.finish();
  }
};

using AllConnections = testing::Types<ConnectedThreads, ConnectedByFork, ConnectedByName>;

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_CONNECTION_WAYS_H_
