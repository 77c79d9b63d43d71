// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <type_traits>
#include <utility>

namespace sluice::tests {
namespace {

static_assert(!std::is_copy_constructible_v<UniqueFd> && !std::is_convertible_v<int, UniqueFd>);

UniqueFd open_null() { return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }
bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, IsEmptyUnlessGivenADescriptor) {
  const UniqueFd none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.get(), -1);
  EXPECT_FALSE(UniqueFd(-1));
  EXPECT_TRUE(open_null());
}

TEST(UniqueFd, ClosesAtTheEndOfItsScope) {
  int number = -1;
  {
    const UniqueFd fd = open_null();
    number = fd.get();
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(UniqueFd, MovesItsDescriptorAndIsEmptyThen) {
  UniqueFd first = open_null();
  const int number = first.get();
  UniqueFd second = std::move(first);
  EXPECT_FALSE(first);
  EXPECT_EQ(second.get(), number);
  UniqueFd third = open_null();
  const int closed = third.get();
  third = std::move(second);
  EXPECT_FALSE(is_open(closed)) << "what it had";
  EXPECT_EQ(third.get(), number);
  EXPECT_TRUE(is_open(number));
}

TEST(UniqueFd, AssignedToItselfKeepsItsDescriptor) {
  UniqueFd fd = open_null();
  UniqueFd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(is_open(fd.get()));
}

TEST(UniqueFd, GivesUpWithoutClosing) {
  UniqueFd fd = open_null();
  const int number = fd.release();
  EXPECT_FALSE(fd);
  EXPECT_TRUE(is_open(number));
  close(number);
}

TEST(UniqueFd, ResetClosesAndTakesAnother) {
  UniqueFd fd = open_null();
  const int number = fd.get();
  const int other = dup(number);
  fd.reset(other);
  EXPECT_FALSE(is_open(number));
  EXPECT_EQ(fd.get(), other);
  fd.reset();
  EXPECT_FALSE(is_open(other));
}

}  // namespace
}  // namespace sluice::tests
