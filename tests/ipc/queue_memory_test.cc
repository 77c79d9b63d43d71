// SPDX-License-Identifier: Apache-2.0
//
// A queue that grows, and is not given what it asks for. In children of a process that has not
// attached, which may have a /dev/shm of their own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstddef>
#include <string>

#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/sync/status.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/own_mounts.h"

namespace sluice::tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Pushes until it is refused, which must be for want of memory, and drains it.
void expect_full_for_want_of_memory(Queue<std::string>& queue, const char* why) {
  const std::string text(100000, 'x');
  std::size_t pushed = 0;
  Status status = Status::ok;
  while ((status = queue.push(text)) == Status::ok) ++pushed;
  EXPECT_EQ(status, Status::full);
  EXPECT_GT(pushed, 0U);
  EXPECT_LT(pushed, 200U);
  EXPECT_THAT(queue.refusal(text), AllOf(HasSubstr("growing queue"), HasSubstr(why)));
  EXPECT_EQ(queue.size(), pushed);
  for (std::size_t i = 0; i < pushed; ++i) EXPECT_EQ(queue.pop(), text);
  EXPECT_EQ(queue.push("fits"), Status::ok);
  EXPECT_EQ(queue.pop(), "fits");
}

TEST(QueueMemory, RefusedByAFullFileSystemItSaysSo) {
  ChildParty child([] {
    if (!own_mounts()) return;
    mount_tmpfs("/dev/shm", "size=4m");
    auto queue = Queue<std::string>::create("small-world", Capacity::unlimited(1 << 26));
    expect_full_for_want_of_memory(queue, "bytes free");
    expect_full_for_want_of_memory(queue, "bytes free");
  });
  child.finish();
}

TEST(QueueMemory, RefusedByALimitOnFilesItSaysSo) {
  ChildParty child([] {
    Queue<std::string> queue(Capacity::unlimited(1 << 26));
    rlimit limit = {};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 4 << 20;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    expect_full_for_want_of_memory(queue, "RLIMIT_FSIZE of 4194304");
    limit.rlim_cur = limit.rlim_max;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const std::string text(100000, 'x');
    for (int i = 0; i < 300; ++i) EXPECT_EQ(queue.push(text), Status::ok);
  });
  child.finish();
}

}  // namespace
}  // namespace sluice::tests
