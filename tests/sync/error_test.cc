// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace sluice::tests {
namespace {

TEST(Error, SaysWhatWasTriedExpectedFoundAndWhatToDo) {
  const Error error(Status::mismatch, {.tried = "open pipe \"x\"",
                                       .expected = "version 2",
                                       .found = "version 1",
                                       .hint = "rebuild the other side"});
  EXPECT_STREQ(error.what(),
               "open pipe \"x\": of another kind, version or type; expected version 2; found "
               "version 1; rebuild the other side");
  EXPECT_EQ(error.code(), Status::mismatch);
  EXPECT_EQ(error.text().found, "version 1");
}

TEST(Error, LeavesOutWhatIsEmpty) {
  const Error error = Error::from_errno(ENOENT, {.tried = "open pipe \"x\""});
  EXPECT_STREQ(error.what(), "open pipe \"x\": No such file or directory");
}

TEST(Error, ComparesWithTheStandardsConditions) {
  const Error error = Error::from_errno(ENOSPC, {.tried = "create"});
  EXPECT_EQ(error.code(), std::errc::no_space_on_device);
  EXPECT_NE(error.code(), Status::full);
}

TEST(Error, IsCaughtAsASystemError) {
  try {
    throw Error(Status::busy, {.tried = "claim"});
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), Status::busy);
    return;
  }
  FAIL() << "not a std::system_error";
}

}  // namespace
}  // namespace sluice::tests
