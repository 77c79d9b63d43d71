// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/status.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>
#include <system_error>

namespace sluice::tests {
namespace {

constexpr int kStatuses = static_cast<int>(Status::foreign_registry) + 1;

TEST(Status, EachHasANameAndAMessageOfItsOwn) {
  std::set<std::string> names;
  std::set<std::string> messages;
  for (int i = 0; i < kStatuses; ++i) {
    names.insert(std::string(to_string(static_cast<Status>(i))));
    messages.insert(make_error_code(static_cast<Status>(i)).message());
  }
  EXPECT_EQ(names.size(), kStatuses);
  EXPECT_EQ(messages.size(), kStatuses);
  EXPECT_EQ(names.count("unknown"), 0U);
}

TEST(Status, PrintsItsEnumeratorsName) {
  std::ostringstream out;
  out << Status::peer_died;
  EXPECT_EQ(out.str(), "peer_died");
}

TEST(Status, ANumberOutsideTheEnumerationIsCalledUnknown) {
  EXPECT_EQ(to_string(static_cast<Status>(200)), "unknown");
  EXPECT_EQ(make_error_code(static_cast<Status>(200)).message(), "unknown status 200");
}

TEST(Status, IsAnErrorCodeOfTheSluiceCategory) {
  const std::error_code code = Status::stale;
  EXPECT_STREQ(code.category().name(), "sluice");
  EXPECT_EQ(code, Status::stale);
  EXPECT_NE(code, Status::busy);
  EXPECT_TRUE(static_cast<bool>(code));
  EXPECT_FALSE(static_cast<bool>(std::error_code(Status::ok)));
}

}  // namespace
}  // namespace sluice::tests
