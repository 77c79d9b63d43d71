// SPDX-License-Identifier: Apache-2.0
//
// Every kind of object where its file system is full: an error that tells what was wanted and what
// is free, and nothing that is left behind. In children that have a file system of their own; the
// test's process never attaches to a domain.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/tests/ipc/object_kinds.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/own_mounts.h"

namespace sluice::tests {
namespace {

using testing::HasSubstr;

class FullFileSystem : public testing::TestWithParam<ObjectKind> {};

INSTANTIATE_TEST_SUITE_P(Kinds, FullFileSystem, testing::ValuesIn(object_kinds()),
                         [](const auto& info) { return std::string(info.param.title); });

TEST_P(FullFileSystem, IsAnErrorWithBothSizesAndNothingIsLeft) {
  std::string directory = testing::TempDir() + "full-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string name = GetParam().is_file ? directory + "/thing" : "thing";
  const std::string where = GetParam().is_file ? directory : "/dev/shm";
  ChildParty child([&] {
    if (!own_mounts()) return;
    mount_tmpfs(where.c_str(), "size=768k");
    const Error error = error_of([&] { GetParam().large(name); });
    EXPECT_EQ(error.code(), std::errc::no_space_on_device) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("\"" + name + "\""));
    EXPECT_THAT(error.what(), testing::ContainsRegex("expected [0-9]+ bytes .* [0-9]+ bytes free"));
    EXPECT_FALSE(error.text().hint.empty()) << error.what();
    EXPECT_NO_THROW(GetParam().make(name)) << "one that fits";
    if (GetParam().is_file) {
      std::size_t files = 0;
      for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(where)) ++files;
      EXPECT_EQ(files, 1U) << "nothing is left of the large one";
    }
  });
  child.finish();
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace sluice::tests
