// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/file_hold.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "sluice/sync/error.h"
#include "sluice/tests/support/bodies.h"

namespace sluice::tests {
namespace {

using internal::FileHold;
using internal::open_anew;
using Mode = FileHold::Mode;
using OnFork = FileHold::OnFork;

constexpr off_t kByte = off_t{1} << 40;  // far beyond the end of the file

class FileHoldTest : public testing::Test {
 protected:
  [[nodiscard]] std::optional<FileHold> take(Mode mode, OnFork on_fork = OnFork::drop,
                                             off_t byte = kByte) const {
    return FileHold::take(open_anew(file_.get()), byte, mode, on_fork);
  }
  [[nodiscard]] bool is_held(off_t byte = kByte) const {
    return FileHold::is_held(file_.get(), byte);
  }

  UniqueFd file_{memfd_create("held", MFD_CLOEXEC)};
};

TEST_F(FileHoldTest, HoldsOneByteUntilItEnds) {
  EXPECT_FALSE(is_held());
  {
    const auto hold = take(Mode::write);
    ASSERT_TRUE(hold);
    EXPECT_TRUE(is_held());
    EXPECT_FALSE(is_held(kByte + 1));
    EXPECT_FALSE(is_held(kByte - 1));
  }
  EXPECT_FALSE(is_held());
}

TEST_F(FileHoldTest, AWriteHoldExcludesAllOthers) {
  const auto hold = take(Mode::write);
  EXPECT_FALSE(take(Mode::write));
  EXPECT_FALSE(take(Mode::read));
  EXPECT_TRUE(take(Mode::write, OnFork::drop, kByte + 1)) << "of another byte";
}

TEST_F(FileHoldTest, ReadHoldsShareAndExcludeAWriter) {
  auto first = take(Mode::read);
  auto second = take(Mode::read);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(take(Mode::write));
  first.reset();
  EXPECT_TRUE(is_held()) << "one is left";
  second.reset();
  EXPECT_TRUE(take(Mode::write));
}

TEST_F(FileHoldTest, ARefusedHoldLeavesTheOtherAlone) {
  const auto hold = take(Mode::write);
  EXPECT_FALSE(take(Mode::write));
  EXPECT_TRUE(is_held());
}

TEST_F(FileHoldTest, Moves) {
  auto hold = take(Mode::write);
  FileHold moved = std::move(*hold);
  hold.reset();
  EXPECT_TRUE(is_held());
  auto other = take(Mode::write, OnFork::drop, kByte + 7);
  moved = std::move(*other);
  other.reset();
  EXPECT_FALSE(is_held()) << "what was there has ended, at the latest with the source";
  EXPECT_TRUE(is_held(kByte + 7));
}

TEST_F(FileHoldTest, OutlivesTheDescriptorThatItWasTakenThrough) {
  UniqueFd description = open_anew(file_.get());
  const int number = description.get();
  const auto hold = FileHold::take(std::move(description), kByte, Mode::write, OnFork::drop);
  EXPECT_LT(fcntl(number, F_GETFD), 0) << "no descriptor stays open";
  EXPECT_TRUE(is_held());
}

TEST_F(FileHoldTest, ClosefromInTheHostDoesNotEndIt) {
  Gate closed;
  const pid_t pid = fork();
  if (pid == 0) {
    const auto hold = take(Mode::write);
    for (int fd = 3; fd < 1024; ++fd) {
      // All but the gate: it is how this test learns that the others are closed.
      if (fcntl(fd, F_GETPIPE_SZ) < 0) close(fd);
    }
    closed.open();
    for (;;) pause();
  }
  closed.wait();
  EXPECT_TRUE(is_held());
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_FALSE(is_held());
}

TEST_F(FileHoldTest, AChildInheritsAHoldThatIsKeptAndNoOther) {
  auto dropped = take(Mode::write, OnFork::drop, kByte);
  auto kept = take(Mode::write, OnFork::keep, kByte + 1);
  Gate end;
  ChildParty child([&] { end.wait(); });
  dropped.reset();
  kept.reset();
  EXPECT_FALSE(is_held(kByte)) << "the child does not prolong it";
  EXPECT_TRUE(is_held(kByte + 1)) << "the child has it still";
  end.open();
  child.finish();
  EXPECT_FALSE(is_held(kByte + 1));
}

TEST_F(FileHoldTest, AKilledHolderHoldsNothing) {
  Gate taken;
  const pid_t pid = fork();
  if (pid == 0) {
    const auto hold = take(Mode::write);
    taken.open();
    for (;;) pause();
  }
  taken.wait();
  EXPECT_TRUE(is_held());
  kill(pid, SIGKILL);
  siginfo_t info = {};
  waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  EXPECT_FALSE(is_held()) << "although it is a zombie";
  waitpid(pid, nullptr, 0);
}

TEST_F(FileHoldTest, WhatCannotBeLockedOrAskedIsAnError) {
  EXPECT_THROW(static_cast<void>(FileHold::take(UniqueFd(), kByte, Mode::read, OnFork::drop)),
               Error);
  EXPECT_THROW(static_cast<void>(FileHold::is_held(-1, kByte)), Error);
  EXPECT_THROW(static_cast<void>(open_anew(-1)), Error);
}

}  // namespace
}  // namespace sluice::tests
