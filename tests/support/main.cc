// SPDX-License-Identifier: Apache-2.0
//
// The main() of all tests: each run of a test binary has a domain of its own, and each TEST must
// leave nothing behind.

#include <gtest/gtest.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>

#include "sluice/tests/support/leftovers.h"

namespace {

namespace tests = sluice::tests;

class LeftoversListener : public testing::EmptyTestEventListener {
 public:
  explicit LeftoversListener(std::string directory) : directory_(std::move(directory)) {}

  void OnTestStart(const testing::TestInfo&) override {
    before_ = tests::take_snapshot(directory_);
  }
  void OnTestEnd(const testing::TestInfo&) override {
    const tests::Snapshot after = tests::take_snapshot(directory_);
    for (const std::string& what : tests::find_leftovers(before_, after))
      ADD_FAILURE() << "this test " << what;
    tests::remove_children(before_, after);
  }

 private:
  std::string directory_;
  tests::Snapshot before_;
};

// A pid alone is not enough: each sandbox may count its processes from 1.
std::string fresh_domain() {
  std::uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) std::abort();
  return "test-" + std::to_string(getpid()) + "-" + std::to_string(random);
}

// A death test of the "threadsafe" style runs this binary once more: it belongs to its parent's
// domain.
bool is_death_test(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with("--gtest_internal_run_death_test")) return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const bool guest = is_death_test(argc, argv) && std::getenv("SLUICE_DOMAIN") != nullptr;
  const std::string domain = guest ? std::getenv("SLUICE_DOMAIN") : fresh_domain();
  const std::string directory = tests::directory_of(domain);
  setenv("SLUICE_DOMAIN", domain.c_str(), 1);  // before anything attaches, which reads it once
  testing::InitGoogleTest(&argc, argv);
  // Last in the list: the end of a test reaches the last listener first, so the printer still sees
  // our failures.
  testing::UnitTest::GetInstance()->listeners().Append(new LeftoversListener(directory));
  const int result = RUN_ALL_TESTS();
  std::error_code failed;
  if (!guest) std::filesystem::remove_all(directory, failed);
  if (failed)
    std::cerr << "cannot remove the test's domain " << directory << ": " << failed.message()
              << '\n';
  return failed ? EXIT_FAILURE : result;
}
