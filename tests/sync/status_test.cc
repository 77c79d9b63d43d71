// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/status.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace sluice::tests {
namespace {

const std::vector<std::pair<Status, std::string>> kAll = {
    {Status::ok, "ok"},
    {Status::full, "full"},
    {Status::empty, "empty"},
    {Status::timeout, "timeout"},
    {Status::closed, "closed"},
    {Status::peer_died, "peer_died"},
    {Status::too_large, "too_large"},
    {Status::mismatch, "mismatch"},
    {Status::corrupt, "corrupt"},
    {Status::busy, "busy"},
    {Status::stale, "stale"},
    {Status::foreign_registry, "foreign_registry"},
    {Status::registry_lost, "registry_lost"},
    {Status::owner_died, "owner_died"},
    {Status::broken, "broken"},
    {Status::interrupted, "interrupted"},
};
// Whoever adds an enumerator behind this one also adds it above.
static_assert(static_cast<int>(Status::interrupted) == 15);

TEST(Status, PrintsItsOwnName) {
  for (const auto& [status, name] : kAll) {
    EXPECT_EQ(to_string(status), name);
    std::ostringstream text;
    text << status;
    EXPECT_EQ(text.str(), name);
  }
}

TEST(Status, ANumberOutsideTheEnumerationIsUnknown) {
  EXPECT_EQ(to_string(static_cast<Status>(200)), "unknown");
  EXPECT_NE(status_category().message(200).find("200"), std::string::npos);
}

TEST(Status, IsAnErrorCodeOfItsOwnCategoryWithATextOfItsOwn) {
  std::set<std::string> texts;
  for (const auto& [status, name] : kAll) {
    const std::error_code code = status;
    EXPECT_EQ(code.value(), static_cast<int>(status));
    EXPECT_EQ(&code.category(), &status_category());
    EXPECT_EQ(code, status);
    EXPECT_FALSE(code.message().empty());
    texts.insert(code.message());
  }
  EXPECT_EQ(texts.size(), kAll.size());
  EXPECT_STREQ(status_category().name(), "sluice");
}

TEST(Status, OnlyOkIsNoError) {
  for (const auto& [status, name] : kAll) {
    EXPECT_EQ(static_cast<bool>(std::error_code(status)), status != Status::ok) << name;
  }
}

TEST(Status, IsNotTheErrnoOfTheSameNumber) {
  EXPECT_NE(std::error_code(Status::full), std::error_code(1, std::generic_category()));
  EXPECT_NE(std::error_code(Status::timeout), std::errc::timed_out);
}

}  // namespace
}  // namespace sluice::tests
