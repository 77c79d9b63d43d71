// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <exception>
#include <string>
#include <system_error>

namespace sluice::tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Error, TellsWhatWasTriedExpectedFoundAndWhatToDo) {
  const Error error(Status::mismatch, {.tried = "open pipe \"orders\"",
                                       .expected = "version 2",
                                       .found = "version 1",
                                       .hint = "restart the old process"});
  const std::string text = error.what();
  EXPECT_THAT(text, StartsWith("open pipe \"orders\""));
  EXPECT_THAT(text, AllOf(HasSubstr(std::error_code(Status::mismatch).message()),
                          HasSubstr("expected version 2"), HasSubstr("found version 1"),
                          HasSubstr("restart the old process")));
  EXPECT_EQ(text.find('\n'), std::string::npos) << "one line";
}

TEST(Error, LeavesOutPartsThatAreEmpty) {
  const Error error(Status::closed, {.tried = "send"});
  EXPECT_EQ(std::string(error.what()), "send: closed");
}

TEST(Error, KeepsTheParts) {
  const Error error(Status::stale, {.tried = "a", .expected = "b", .found = "c", .hint = "d"});
  EXPECT_EQ(error.text().tried, "a");
  EXPECT_EQ(error.text().expected, "b");
  EXPECT_EQ(error.text().found, "c");
  EXPECT_EQ(error.text().hint, "d");
}

TEST(Error, ComparesWithStatusAndWithErrno) {
  const Error status(Status::busy, {.tried = "x"});
  EXPECT_EQ(status.code(), Status::busy);
  EXPECT_NE(status.code(), Status::stale);
  const Error from_errno = Error::from_errno(ENOSPC, {.tried = "x"});
  EXPECT_EQ(from_errno.code(), std::errc::no_space_on_device);
  EXPECT_NE(from_errno.code(), Status::busy);
  EXPECT_THAT(from_errno.what(), HasSubstr(std::generic_category().message(ENOSPC)));
}

TEST(Error, IsCaughtAsAStandardException) {
  const auto fail = [] { throw Error(Status::corrupt, {.tried = "attach"}); };
  EXPECT_THROW(fail(), std::system_error);
  try {
    fail();
  } catch (const std::exception& e) {
    EXPECT_STREQ(e.what(), "attach: corrupt");
  }
}

TEST(Error, ACopyHasItsOwnText) {
  std::exception_ptr kept;
  try {
    throw Error(Status::corrupt, {.tried = std::string(100, 'x')});
  } catch (const Error& e) {
    kept = std::make_exception_ptr(e);
  }
  try {
    std::rethrow_exception(kept);
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), StartsWith(std::string(100, 'x')));
  }
}

}  // namespace
}  // namespace sluice::tests
