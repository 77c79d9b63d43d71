// SPDX-License-Identifier: Apache-2.0
//
// A second process in a test: ChildParty forks it and carries its failures over, Gate lets it wait
// for its parent (or the parent for it).
//
//   Gate ready;
//   ChildParty child([&] {
//     ready.wait();
//     EXPECT_EQ(look(), 42);  // if not, the test fails in finish(), with this text
//   });
//   change_something();
//   ready.open();
//   child.finish();

#ifndef SLUICE_TESTS_SUPPORT_CHILD_PARTY_H_
#define SLUICE_TESTS_SUPPORT_CHILD_PARTY_H_

#include <sys/types.h>

#include <chrono>
#include <functional>

#include "sluice/sync/unique_fd.h"

namespace sluice::tests {

/// A child that has not ended this long after finish() was called is killed, which is a failure.
inline constexpr std::chrono::seconds kChildLimit{60};

/// A forked process that runs `body` and hands its GoogleTest failures to the parent.
class ChildParty {
 public:
  explicit ChildParty(const std::function<void()>& body);
  /// Kills the child if finish() was not reached.
  ~ChildParty();
  ChildParty(const ChildParty&) = delete;
  ChildParty& operator=(const ChildParty&) = delete;

  /// Waits for the child's end and reports its failures here.
  void finish();

 private:
  pid_t pid_ = -1;
  UniqueFd failures_;  // the reading end; the child's end of it closes with the child
};

/// Lets a child wait until its parent has come to a certain point.
class Gate {
 public:
  Gate();
  void open();
  void wait();

 private:
  UniqueFd read_;
  UniqueFd write_;
};

/// Runs `body` and reports an exception as a failure of the test.
void run_reporting(const std::function<void()>& body);

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_CHILD_PARTY_H_
