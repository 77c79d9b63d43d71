// SPDX-License-Identifier: Apache-2.0
//
// Two copies of the library in one process: a host that links it, and a plugin that brings its own.
// Each is a participant for itself; they live and die with the process.

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "sluice/sync/participant.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/sync/living_child.h"

namespace sluice::tests {
namespace {

using participant::probe;
using participant::self;

/// The plugin, which stays loaded.
class SecondCopy {
 public:
  SecondCopy() {
    // Beside the test's own binary, which Bazel runs from anywhere.
    const auto here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    void* const handle = dlopen((here / "libsecond_copy.so").c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) throw std::runtime_error(dlerror());
    find(handle, "second_copy_self", self);
    find(handle, "second_copy_self_if_attached", self_if_attached);
    find(handle, "second_copy_probe", probe_as_number);
  }
  [[nodiscard]] Liveness probe(Tag tag) const {
    return static_cast<Liveness>(probe_as_number(tag));
  }

  std::uint32_t (*self)() = nullptr;
  std::uint32_t (*self_if_attached)() = nullptr;

 private:
  template <class Function>
  static void find(void* handle, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(handle, name));
    if (function == nullptr) throw std::runtime_error(dlerror());
  }

  int (*probe_as_number)(std::uint32_t) = nullptr;
};

TEST(TwoCopies, HaveATagEachAndSeeEachOtherAlive) {
  attach();
  const SecondCopy other;
  EXPECT_EQ(other.self_if_attached(), participant::kNobody) << "not the same copy";
  const Tag theirs = other.self();
  EXPECT_NE(theirs, self());
  EXPECT_EQ(other.self(), theirs);
  EXPECT_EQ(probe(theirs), Liveness::alive);
  EXPECT_EQ(other.probe(self()), Liveness::alive);
  EXPECT_EQ(other.probe(theirs), Liveness::alive);
}

TEST(TwoCopies, DieWithTheProcess) {
  attach();
  SharedNumbers theirs;
  Gate attached;
  Child child([&] {
    const SecondCopy other;
    theirs[0] = other.self();
    attached.open();
    for (;;) pause();
  });
  attached.wait();
  EXPECT_EQ(probe(child.tag()), Liveness::alive);
  EXPECT_EQ(probe(theirs[0]), Liveness::alive);
  child.end(SIGKILL);
  EXPECT_EQ(probe(child.tag()), Liveness::dead);
  EXPECT_EQ(probe(theirs[0]), Liveness::dead);
}

TEST(TwoCopies, AreBothNewInAForkedChild) {
  attach();
  const SecondCopy other;
  const Tag theirs = other.self();
  ChildParty child([&] {
    EXPECT_EQ(participant::self_if_attached(), participant::kNobody);
    EXPECT_EQ(other.self_if_attached(), participant::kNobody);
    EXPECT_NE(other.self(), theirs);
    EXPECT_NE(other.self(), self());
    EXPECT_EQ(probe(theirs), Liveness::alive) << "the parent's";
  });
  child.finish();
}

TEST(TwoCopies, LeaveBothWhenTheProcessExits) {
  attach();
  SharedNumbers theirs;
  Child child([&] {
    const SecondCopy other;
    theirs[0] = other.self();
    std::exit(0);
  });
  child.end(0);
  EXPECT_TRUE(participant::has_left(child.tag()));
  EXPECT_TRUE(participant::has_left(theirs[0]));
}

}  // namespace
}  // namespace sluice::tests
