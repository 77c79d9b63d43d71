// SPDX-License-Identifier: Apache-2.0
//
// Names and descriptors of every kind of object: who makes it, who finds it, who takes it along,
// and what a killed process leaves (rows SM1, SM9, SM10, PC18, PC21, for all kinds alike; the
// complaints of those who had to remove files by hand, or reboot).

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "sluice/ipc/array.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/value.h"
#include "sluice/pool/process.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {
namespace {

using testing::HasSubstr;

/// An object, or an end of one, as long as it is held.
using Held = std::shared_ptr<void>;
template <class Object>
Held held(Object object) {
  return std::make_shared<Object>(std::move(object));
}

using Name = const std::string&;

/// How an object of a kind is made and found. `attach` and `from_fd` are the other end's, where an
/// object has two.
struct LivingKind {
  const char* title;
  std::function<Held(Name)> create;
  std::function<Held(Name)> attach;
  std::function<Held(Name)> open_or_create;
  std::function<UniqueFd(const Held&)> fd;
  std::function<Held(UniqueFd)> from_fd;

  friend std::ostream& operator<<(std::ostream& out, const LivingKind& kind) {
    return out << kind.title;
  }
};

template <class Object>
UniqueFd fd_of(const Held& object) {
  return static_cast<const Object*>(object.get())->fd();
}

constexpr SegmentKind kProbe = {.name = "probe", .version = 1, .fingerprint = 7};

struct Point {
  static constexpr std::string_view kTypeName = "test.Point";
  std::int64_t x = 1, y = 2;
};

constexpr auto kUsed = Lifetime::while_used;

std::vector<LivingKind> memory_kinds() {
  const auto nothing = [](std::span<std::byte>) {};
  return {
      {"Segment", [=](Name n) { return held(Segment::create(n, kProbe, 100, kUsed, nothing)); },
       [](Name n) { return held(Segment::open(n, kProbe)); },
       [=](Name n) { return held(Segment::open_or_create(n, kProbe, 100, kUsed, nothing)); },
       fd_of<Segment>, [](UniqueFd fd) { return held(Segment::from_fd(std::move(fd), kProbe)); }},
      {"Shared", [](Name n) { return held(Shared<Point>::create(n)); },
       [](Name n) { return held(Shared<Point>::open(n)); },
       [](Name n) { return held(Shared<Point>::open_or_create(n)); }, fd_of<Shared<Point>>,
       [](UniqueFd fd) { return held(Shared<Point>::from_fd(std::move(fd))); }},
      {"Value", [](Name n) { return held(Value<Point>::create(n, {})); },
       [](Name n) { return held(Value<Point>::open(n)); },
       [](Name n) { return held(Value<Point>::open_or_create(n, {})); }, fd_of<Value<Point>>,
       [](UniqueFd fd) { return held(Value<Point>::from_fd(std::move(fd))); }},
      {"Array", [](Name n) { return held(Array<int>::create(n, 3)); },
       [](Name n) { return held(Array<int>::open(n)); },
       [](Name n) { return held(Array<int>::open_or_create(n, 3)); }, fd_of<Array<int>>,
       [](UniqueFd fd) { return held(Array<int>::from_fd(std::move(fd))); }},
      {"RawArray", [](Name n) { return held(RawArray<int>::create(n, 3)); },
       [](Name n) { return held(RawArray<int>::open(n)); },
       [](Name n) { return held(RawArray<int>::open_or_create(n, 3)); }, fd_of<RawArray<int>>,
       [](UniqueFd fd) { return held(RawArray<int>::from_fd(std::move(fd))); }},
      {"ShareableList", [](Name n) { return held(ShareableList::create(n, {1, "a"})); },
       [](Name n) { return held(ShareableList::open(n)); },
       [](Name n) { return held(ShareableList::open_or_create(n, std::vector<ListItem>{1, "a"})); },
       fd_of<ShareableList>,
       [](UniqueFd fd) { return held(ShareableList::from_fd(std::move(fd))); }},
  };
}

std::vector<LivingKind> stream_kinds() {
  return {
      {"Receiver", [](Name n) { return held(Receiver::create(n)); },
       [](Name n) { return held(Sender::open(n)); },
       [](Name n) { return held(Receiver::open_or_create(n)); }, fd_of<Receiver>,
       [](UniqueFd fd) { return held(Sender::from_fd(std::move(fd))); }},
      {"Sender", [](Name n) { return held(Sender::create(n)); },
       [](Name n) { return held(Receiver::open(n)); },
       [](Name n) { return held(Sender::open_or_create(n)); }, fd_of<Sender>,
       [](UniqueFd fd) { return held(Receiver::from_fd(std::move(fd))); }},
      {"Connection", [](Name n) { return held(Connection::create(n)); },
       [](Name n) { return held(Connection::open(n)); },
       [](Name n) { return held(Connection::open_or_create(n)); }, fd_of<Connection>,
       [](UniqueFd fd) { return held(Connection::from_fd(std::move(fd))); }},
  };
}

std::vector<LivingKind> living_kinds() {
  std::vector<LivingKind> all = memory_kinds();
  for (const LivingKind& kind : stream_kinds()) all.push_back(kind);
  return all;
}

bool exists(const std::string& name) {
  return std::filesystem::exists(Domain::current().path() + "/obj-" + name);
}

/// Lets a child come to the end of `body` and kills it there, with all that it holds.
void run_and_kill(const std::function<Held()>& body) {
  Gate done;
  Process child([&] {
    const Held kept = body();
    done.open();
    for (;;) pause();
  });
  done.wait();
  child.kill();
  child.join();
  ASSERT_EQ(child.exit_code(), -SIGKILL);
}

class Lifetimes : public testing::TestWithParam<LivingKind> {
 protected:
  static Held create(Name n = "thing") { return GetParam().create(n); }
  static Held attach(Name n = "thing") { return GetParam().attach(n); }
  static Held open_or_create(Name n = "thing") { return GetParam().open_or_create(n); }
};

INSTANTIATE_TEST_SUITE_P(Kinds, Lifetimes, testing::ValuesIn(living_kinds()),
                         [](const auto& info) { return std::string(info.param.title); });

TEST_P(Lifetimes, SM1_PC21_ALiveNameIsTakenAndAnAbsentOneIsNotThere) {
  EXPECT_EQ(error_of([] { return attach(); }).code(), std::errc::no_such_file_or_directory);
  const Held made = create();
  EXPECT_EQ(error_of([] { return create(); }).code(), std::errc::file_exists);
  EXPECT_NO_THROW(attach());
  EXPECT_TRUE(Segment::remove("thing"));
  EXPECT_FALSE(Segment::remove("thing"));
  EXPECT_EQ(error_of([] { return attach(); }).code(), std::errc::no_such_file_or_directory);
}

TEST_P(Lifetimes, SM4_WhatIsNoName) {
  for (const std::string& name : {std::string("nul\0in", 6), std::string("a/b"), std::string(),
                                  std::string(256, 'x'), std::string("..")}) {
    EXPECT_EQ(error_of([&] { return create(name); }).code(), std::errc::invalid_argument);
    EXPECT_EQ(error_of([&] { return attach(name); }).code(), std::errc::invalid_argument);
    EXPECT_EQ(error_of([&] { return open_or_create(name); }).code(), std::errc::invalid_argument);
  }
}

TEST_P(Lifetimes, PC21_TheNameGoesWithItsLastUser) {
  Held made = create();
  Held attached = attach();
  made.reset();
  EXPECT_TRUE(exists("thing")) << "one is left";
  attached.reset();
  EXPECT_FALSE(exists("thing"));
}

TEST_P(Lifetimes, SM10_WhoOnlyAttachesDoesNotTakeItAlong) {
  const Held made = create();
  ChildParty attacher([] { attach(); });
  attacher.finish();
  EXPECT_TRUE(exists("thing"));
  run_and_kill([] { return attach(); });
  EXPECT_TRUE(exists("thing")) << "nor if it is killed";
  EXPECT_NO_THROW(attach()) << "the next one finds it, and the end that the dead one had";
}

TEST_P(Lifetimes, SM9_PC21_WhatTheDeadLeftIsStaleAndItsNameIsFree) {
  run_and_kill([] { return create(); });
  ASSERT_TRUE(exists("thing"));
  const Error error = error_of([] { return attach(); });
  EXPECT_EQ(error.code(), Status::stale);
  EXPECT_THAT(error.what(), HasSubstr("\"thing\""));
  run_and_kill([] { return create(); });
  EXPECT_NO_THROW(create()) << "nobody has to remove anything";
  run_and_kill([] { return create(); });
  const Held next = open_or_create();
  EXPECT_NO_THROW(attach());
}

TEST_P(Lifetimes, SM9_OfAKilledFamilyNothingRemains) {
  Gate made, attached;
  Process maker([&] {
    const Held first = create("thing");
    const Held second = create("other-thing");
    made.open();
    for (;;) pause();
  });
  made.wait();
  Process user([&] {
    const Held kept = attach("thing");
    attached.open();
    for (;;) pause();
  });
  attached.wait();
  maker.kill();
  maker.join();
  EXPECT_EQ(remove_stale(), std::vector<std::string>{"other-thing"}) << "the other is in use";
  user.kill();
  user.join();
  EXPECT_EQ(remove_stale(), std::vector<std::string>{"thing"});
  EXPECT_FALSE(exists("thing") || exists("other-thing"));
}

TEST_P(Lifetimes, PC24_OnlyTheUserMayAttach) {
  const mode_t before = umask(0);
  const Held made = create();
  umask(before);
  struct stat s = {};
  ASSERT_EQ(stat((Domain::current().path() + "/obj-thing").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07777, 0600U);
  EXPECT_EQ(s.st_uid, geteuid());
}

/// Nobody complains of leaked objects: neither who is interrupted, nor who exits with one in use,
/// nor who comes next.
TEST_P(Lifetimes, InterruptedOrLeftInUseNothingIsSaid) {
  const std::string said = testing::TempDir() + "said-" + std::to_string(getpid());
  for (const bool is_interrupted : {true, false}) {
    Gate done;
    Process child([&] {
      const UniqueFd file(open(said.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
      dup2(file.get(), STDERR_FILENO);
      signal(SIGINT, SIG_DFL);
      static Held kept = create();
      done.open();
      while (is_interrupted) pause();
    });
    done.wait();
    if (is_interrupted) kill(child.pid(), SIGINT);
    child.join();
    EXPECT_EQ(child.exit_code(), is_interrupted ? -SIGINT : 0);
    EXPECT_EQ(std::filesystem::file_size(said), 0U);
    EXPECT_NO_THROW(create());
  }
  std::filesystem::remove(said);
}

TEST_P(Lifetimes, PC18_ADescriptorOfSomethingElseIsRefused) {
  const auto refused = [](UniqueFd fd) {
    const Error error = error_of([&] { return GetParam().from_fd(std::move(fd)); });
    EXPECT_FALSE(std::string(error.what()).empty());
    return error.code();
  };
  EXPECT_EQ(refused(UniqueFd()), std::errc::bad_file_descriptor);
  EXPECT_TRUE(refused(UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC))));
  EXPECT_TRUE(refused(UniqueFd(open("/", O_RDONLY | O_CLOEXEC))));
  UniqueFd growing(memfd_create("thing", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(growing.get(), 1 << 16), 0);
  UniqueFd sealed(memfd_create("thing", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(sealed.get(), 1 << 16), 0);
  ASSERT_EQ(fcntl(sealed.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  EXPECT_TRUE(refused(std::move(growing))) << "it could shrink under us";
  EXPECT_EQ(refused(std::move(sealed)), Status::corrupt) << "zeroes";
  constexpr SegmentKind kOther = {.name = "other", .version = 1, .fingerprint = 0};
  const Segment other = Segment::create_anonymous(kOther, 1 << 16, [](auto) {});
  EXPECT_EQ(refused(other.fd()), Status::mismatch);
}

TEST_P(Lifetimes, SM6_SL2_ADescriptorSharesAndOutlivesItsSender) {
  Held made = create();
  UniqueFd fd = GetParam().fd(made);
  EXPECT_NE(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0) << "not for programs that are executed";
  made.reset();
  EXPECT_NO_THROW(GetParam().from_fd(std::move(fd)));
}

}  // namespace
}  // namespace sluice::tests
