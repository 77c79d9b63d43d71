// SPDX-License-Identifier: Apache-2.0
//
// Rows of BEHAVIOUR: SC1, SC2 (a user's struct, without and with a lock), SM1, SM2, SM4, SM6, SM7,
// SM8, SM9, SM10 (named and anonymous memory).

#include "sluice/ipc/shared.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/pool/process.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using tests::ChildParty;
using tests::error_of;
using tests::Gate;

struct Point {
  static constexpr std::string_view kTypeName = "test.Point";
  std::int32_t x = 1, y = 2;
};

/// One byte for byte like it.
struct Size {
  static constexpr std::string_view kTypeName = "test.Size";
  std::int32_t width = 1, height = 2;
};

/// What a Point becomes in the program's next version.
struct PointOfVersion2 {
  static constexpr std::string_view kTypeName = "test.Point";
  std::int32_t x = 1, y = 2, z = 3;
};

/// Neither an aggregate nor trivial, and can't be made without an argument.
class Account {
 public:
  static constexpr std::string_view kTypeName = "test.Account";

  explicit Account(long balance) : balance_(balance) {
    if (balance < 0) throw std::invalid_argument("an account can't begin with debts");
  }
  void add(long amount) {
    const std::scoped_lock hold(mutex_);
    balance_ += amount;
  }
  long balance() {
    const std::scoped_lock hold(mutex_);
    return balance_;
  }

 private:
  Mutex mutex_;
  long balance_;
};

/// The things that the peer's test shares.
struct Many {
  static constexpr std::string_view kTypeName = "test.Many";
  struct Inner {
    std::int32_t x;
    double y;
    std::int64_t z;
  };
  std::int32_t i;
  double d;
  long long ll;
  Inner inner;
  std::array<double, 10> array;
  std::array<char, 20> text;

  void twice() {
    i *= 2, d *= 2, ll *= 2;
    inner.x *= 2, inner.y *= 2, inner.z *= 2;
    for (double& one : array) one *= 2;
    std::copy_n(text.data(), 10, &text[10]);
  }
};

struct alignas(4096) PageAligned {
  static constexpr std::string_view kTypeName = "test.PageAligned";
  std::byte first = {};
};

struct Listed {
  static constexpr std::string_view kTypeName = "test.Listed";
  std::int32_t left, right;
  static constexpr auto kMembers = std::tuple(&Listed::left, &Listed::right);
};
struct ListedTheOtherWayRound {
  static constexpr std::string_view kTypeName = "test.Listed";
  std::int32_t right, left;
  static constexpr auto kMembers =
      std::tuple(&ListedTheOtherWayRound::left, &ListedTheOtherWayRound::right);
};

std::string path_of(const std::string& name) { return Domain::current().path() + "/obj-" + name; }

bool exists(const std::string& name) { return std::filesystem::exists(path_of(name)); }

/// Lets a child come to the end of `body` and kills it there, with all that it holds.
template <class Body>
void run_and_kill(Body body) {
  Gate done;
  Process child([&] {
    const auto kept = body();
    done.open();
    for (;;) pause();
  });
  done.wait();
  child.kill();
  child.join();
  ASSERT_EQ(child.exit_code(), -SIGKILL);
}

// -------------------------------------------------------------------------------------------------
// In three ways: another party works on the object, and this one sees it

struct ByThreads {
  static constexpr const char* kName = "Threads";

  template <class T, class... Args>
  static void run(std::function<void(T&)> theirs, std::function<void(T&)> ours, Args... args) {
    const Shared<T> shared(args...);
    {
      const std::jthread other([&] { tests::run_reporting([&] { theirs(*shared); }); });
    }
    ours(*shared);
  }
};

struct ByFork {
  static constexpr const char* kName = "Fork";

  template <class T, class... Args>
  static void run(std::function<void(T&)> theirs, std::function<void(T&)> ours, Args... args) {
    const Shared<T> shared(args...);
    ChildParty other([&] { theirs(*shared); });
    other.finish();
    ours(*shared);
  }
};

struct ByName {
  static constexpr const char* kName = "Name";

  template <class T, class... Args>
  static void run(std::function<void(T&)> theirs, std::function<void(T&)> ours, Args... args) {
    Gate made;
    ChildParty other([&] {  // forked first: it inherits nothing
      made.wait();
      const auto shared = Shared<T>::open("three-ways");
      theirs(*shared);
    });
    const auto shared = Shared<T>::create("three-ways", args...);
    made.open();
    other.finish();
    ours(*shared);
  }
};

struct Names {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};

template <class Way>
class SharedBody : public testing::Test {};
using Ways = testing::Types<ByThreads, ByFork, ByName>;
TYPED_TEST_SUITE(SharedBody, Ways, Names);

TYPED_TEST(SharedBody, SC1_AStructOfManyThingsIsDoubledByTheOther) {
  const Many before = {.i = 7,
                       .d = 10.0 / 3.0,
                       .ll = 1LL << 33,
                       .inner = {.x = 3, .y = 2, .z = -9},
                       .array = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
                       .text = {"hellohell"}};
  TypeParam::template run<Many>([](Many& many) { many.twice(); },
                                [&](Many& many) {
                                  EXPECT_EQ(many.i, 14);
                                  EXPECT_EQ(many.d, 20.0 / 3.0);
                                  EXPECT_EQ(many.ll, 1LL << 34);
                                  EXPECT_EQ(many.inner.x, 6);
                                  EXPECT_EQ(many.inner.y, 4);
                                  EXPECT_EQ(many.inner.z, -18);
                                  for (std::size_t i = 0; i < 10; ++i)
                                    EXPECT_EQ(many.array[i], 2.0 * i);
                                  EXPECT_STREQ(&many.text[10], "hellohell");
                                },
                                before);
}

TYPED_TEST(SharedBody, SC2_ALockInTheStructGuardsIt) {
  const auto work = [](Account& account) {
    for (int i = 0; i < 10'000; ++i) account.add(1);
  };
  TypeParam::template run<Account>(
      [&](Account& account) {
        std::thread second([&] { work(account); });
        work(account);
        second.join();
      },
      [](Account& account) { EXPECT_EQ(account.balance(), 20'005); }, 5L);
}

TEST(SharedTypes, OurOwnInPlaceTypesAreOnesToo) {
  const Shared<Mutex> mutex;
  mutex->lock();
  ChildParty child([&] { EXPECT_FALSE(mutex->try_lock()); });
  child.finish();
  mutex->unlock();
  EXPECT_THAT(error_of([&] { return Shared<RecursiveMutex>::from_fd(mutex.fd()); }).what(),
              AllOf(HasSubstr("sluice.Mutex"), HasSubstr("sluice.RecursiveMutex")));
}

TEST(SharedTypes, NumbersAndArrays) {
  const Shared<int> number(42);
  EXPECT_EQ(*number, 42);
  const Shared<std::array<double, 10>> array;
  EXPECT_EQ((*array)[9], 0.0);
  const Shared<std::array<Point, 3>> points;
  EXPECT_EQ((*points)[2].y, 2) << "each was constructed";
  EXPECT_EQ(error_of([&] { return Shared<std::array<double, 9>>::from_fd(array.fd()); }).code(),
            Status::mismatch);
}

TEST(SharedTypes, AlignedToAWholePage) {
  const Shared<PageAligned> shared;
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(shared.get()) % 4096, 0U);
}

TEST(SharedTypes, AnAggregateTakesItsMembersValues) {
  const Shared<Point> shared(5, 6);
  EXPECT_EQ(shared->x, 5);
  EXPECT_EQ(shared->y, 6);
  const Point other = {.x = 8, .y = 9};
  EXPECT_EQ(Shared<Point>(other)->y, 9);
}

// -------------------------------------------------------------------------------------------------
// Names

TEST(SharedNames, SM1_CreateOpenAndRemove) {
  EXPECT_EQ(error_of([] { return Shared<Point>::open("one"); }).code(),
            std::errc::no_such_file_or_directory);
  auto made = Shared<Point>::create("one");
  EXPECT_EQ(made.name(), "one");
  EXPECT_TRUE(made.created());
  const auto opened = Shared<Point>::open("one");
  EXPECT_FALSE(opened.created());
  EXPECT_NE(opened.get(), made.get());
  made->x = 77;
  EXPECT_EQ(opened->x, 77);
  EXPECT_EQ(error_of([] { return Shared<Point>::create("one"); }).code(), std::errc::file_exists);
  EXPECT_FALSE(Shared<Point>::open_or_create("one").created());
  EXPECT_EQ(opened->x, 77) << "nobody constructs it again";
  EXPECT_TRUE(Shared<Point>::remove("one"));
  EXPECT_FALSE(Shared<Point>::remove("one"));
  EXPECT_EQ(opened->x, 77) << "who has it keeps it";
  EXPECT_TRUE(Shared<Point>::open_or_create("one", 4, 5).created());
}

TEST(SharedNames, SM2_EightProcessesMakeAnonymousOnesAtOnce) {
  std::vector<std::unique_ptr<ChildParty>> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(std::make_unique<ChildParty>([i] {
      for (int n = 0; n < 20; ++n) {
        const Shared<Point> mine(i, n);
        EXPECT_EQ(mine->x, i);
        EXPECT_EQ(mine->y, n);
      }
    }));
  }
  for (const auto& child : children) child->finish();
}

TEST(SharedNames, SM4_WhatIsNoName) {
  for (const std::string& name : {std::string("nul\0in", 6), std::string("a/b"), std::string(),
                                  std::string(256, 'x'), std::string("..")}) {
    EXPECT_EQ(error_of([&] { return Shared<Point>::create(name); }).code(),
              std::errc::invalid_argument);
    EXPECT_EQ(error_of([&] { return Shared<Point>::open(name); }).code(),
              std::errc::invalid_argument);
    EXPECT_EQ(error_of([&] { return Shared<Point>::open_or_create(name); }).code(),
              std::errc::invalid_argument);
    EXPECT_EQ(error_of([&] { return Shared<Point>::remove(name); }).code(),
              std::errc::invalid_argument);
  }
}

TEST(SharedNames, SM6_ThroughAHandle) {
  const Shared<Point> shared;
  const UniqueFd sent = shared.fd();
  ChildParty child([&] {
    const auto mine = Shared<Point>::from_fd(UniqueFd(fcntl(sent.get(), F_DUPFD_CLOEXEC, 0)));
    EXPECT_NE(mine.get(), shared.get());
    mine->x = 99;
  });
  child.finish();
  EXPECT_EQ(shared->x, 99);
}

TEST(SharedNames, SM8_AScopeTakesAllOfItsNamesAlong) {
  const auto make_three = [] {
    std::vector<Shared<Point>> scope;
    for (const char* name : {"a", "b", "c"}) scope.push_back(Shared<Point>::create(name));
    return scope;
  };
  {
    const auto scope = make_three();
    EXPECT_TRUE(exists("b"));
  }
  EXPECT_FALSE(exists("a") || exists("b") || exists("c"));
  run_and_kill(make_three);
  EXPECT_THAT(remove_stale(), testing::ElementsAre("a", "b", "c"));
}

TEST(SharedNames, SM9_OfAKilledFamilyNothingRemainsInUse) {
  run_and_kill([] { return Shared<Point>::create("orphan"); });
  EXPECT_EQ(remove_stale(), std::vector<std::string>{"orphan"});
  EXPECT_FALSE(exists("orphan"));
}

TEST(SharedNames, SM10_WhoOnlyAttachesDoesNotTakeItAlong) {
  const auto made = Shared<Point>::create("attached");
  ChildParty attacher([] { EXPECT_EQ(Shared<Point>::open("attached")->x, 1); });
  attacher.finish();
  EXPECT_TRUE(exists("attached"));
  run_and_kill([] { return Shared<Point>::open("attached"); });
  EXPECT_EQ(Shared<Point>::open("attached")->x, 1) << "nor if it is killed";
}

TEST(SharedNames, TheLastOneTakesItAlong) {
  auto made = std::make_unique<Shared<Point>>(Shared<Point>::create("last"));
  auto opened = std::make_unique<Shared<Point>>(Shared<Point>::open("last"));
  made.reset();
  EXPECT_TRUE(exists("last"));
  opened.reset();
  EXPECT_FALSE(exists("last"));
}

TEST(SharedNames, UntilRemovedItStaysAsItWas) {
  run_and_kill([] {
    auto shared = Shared<Point>::create("kept", {.lifetime = Lifetime::until_removed}, 3, 4);
    shared->x = 30;
    return shared;
  });
  const auto found = Shared<Point>::open_or_create("kept", 1, 1);
  EXPECT_FALSE(found.created());
  EXPECT_EQ(found->x, 30);
  EXPECT_EQ(found->y, 4);
  EXPECT_TRUE(Shared<Point>::remove("kept"));
}

// -------------------------------------------------------------------------------------------------
// Making it

TEST(SharedMaking, AConstructorThatThrowsLeavesNothing) {
  EXPECT_THROW(Shared<Account>::create("debts", -1L), std::invalid_argument);
  EXPECT_FALSE(exists("debts"));
  EXPECT_THROW(Shared<Account>(-1L), std::invalid_argument);
  EXPECT_THROW(Shared<Account>::open_or_create("debts", -1L), std::invalid_argument);
  EXPECT_TRUE(Shared<Account>::open_or_create("debts", 1L).created());
}

/// Counts its constructions, in memory of the test's.
struct Counted {
  static constexpr std::string_view kTypeName = "test.Counted";
  explicit Counted(std::atomic<int>* count) { ready = ++*count; }
  std::int32_t ready = 0;
};

TEST(SharedMaking, OfEightThatOpenOrCreateOneConstructsIt) {
  struct Seen {
    std::atomic<int> constructed, created, wrong, arrived, left;
  };
  testkit::SharedArea<Seen> seen;
  std::vector<std::unique_ptr<ChildParty>> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(std::make_unique<ChildParty>([&] {
      ++seen->arrived;
      while (seen->arrived < 8) std::this_thread::yield();
      const auto shared = Shared<Counted>::open_or_create("race", &seen->constructed);
      if (shared.created()) ++seen->created;
      if (shared->ready == 0) ++seen->wrong;
      ++seen->left;
      while (seen->left < 8) std::this_thread::yield();  // in use until all have it
    }));
  }
  for (const auto& child : children) child->finish();
  EXPECT_EQ(seen->created, 1);
  EXPECT_EQ(seen->wrong, 0) << "seen before it was constructed";
  EXPECT_LE(seen->constructed, 8) << "some for nothing, which nobody saw";
}

TEST(SharedMaking, TheDestructorOfTheHandleLeavesTheObjectAlone) {
  auto made = std::make_unique<Shared<Account>>(Shared<Account>::create("alone", 7L));
  const auto opened = Shared<Account>::open("alone");
  made.reset();
  EXPECT_EQ(opened->balance(), 7);
}

// -------------------------------------------------------------------------------------------------
// What is refused: which object, what was expected, what was found, what to do

TEST(SharedErrors, AnotherType) {
  const auto made = Shared<Point>::create("typed");
  const Error error = error_of([] { return Shared<Size>::open("typed"); });
  EXPECT_EQ(error.code(), Status::mismatch);
  EXPECT_EQ(error.text().tried, "attach to shared test.Size \"typed\"");
  EXPECT_THAT(error.text().expected, HasSubstr("kind shared, version 1, type test.Size (0x"));
  EXPECT_THAT(error.text().found, HasSubstr("kind shared, version 1, type test.Point (0x"));
  EXPECT_THAT(error.text().hint, HasSubstr("use the type"));
  EXPECT_EQ(error_of([&] { return Shared<Size>::from_fd(made.fd()); }).code(), Status::mismatch);
  EXPECT_EQ(error_of([] { return Shared<Size>::open_or_create("typed"); }).code(),
            Status::mismatch);
  EXPECT_EQ(Shared<Point>::open("typed")->x, 1) << "the attempts did not hurt it";
}

TEST(SharedErrors, AnotherVersionOfTheType) {
  const auto made = Shared<Point>::create("grown");
  EXPECT_EQ(error_of([] { return Shared<PointOfVersion2>::open("grown"); }).code(),
            Status::mismatch);
}

TEST(SharedErrors, MembersThatHaveChangedPlaces) {
  const Shared<Listed> made;
  EXPECT_NO_THROW(Shared<Listed>::from_fd(made.fd()));
  EXPECT_EQ(error_of([&] { return Shared<ListedTheOtherWayRound>::from_fd(made.fd()); }).code(),
            Status::mismatch);
}

/// Changes the first bytes of the file of a Point called `name`.
template <class Change>
void change_stamp(const std::string& name, Change change) {
  Shared<Point>::create(name, {.lifetime = Lifetime::until_removed});
  const UniqueFd fd(open(path_of(name).c_str(), O_RDWR | O_CLOEXEC));
  Stamp stamp = {};
  ASSERT_EQ(pread(fd.get(), &stamp, sizeof stamp, 0), static_cast<ssize_t>(sizeof stamp));
  change(stamp);
  const auto bytes = std::as_bytes(std::span(&stamp, 1));
  stamp.checksum = Fnv1a().add(bytes.first(offsetof(Stamp, checksum))).value();
  ASSERT_EQ(pwrite(fd.get(), &stamp, sizeof stamp, 0), static_cast<ssize_t>(sizeof stamp));
}

TEST(SharedErrors, AnotherVersionOfSluice) {
  change_stamp("later", [](Stamp& stamp) { stamp.kind_version = 2; });
  Error error = error_of([] { return Shared<Point>::open("later"); });
  EXPECT_EQ(error.code(), Status::mismatch);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("\"later\""),
                                  HasSubstr("expected kind shared, version "
                                            "1, type test.Point"),
                                  HasSubstr("found kind shared, version 2, type test.Point"),
                                  HasSubstr("the version of sluice")));
  EXPECT_TRUE(Shared<Point>::remove("later"));
  change_stamp("later", [](Stamp& stamp) { stamp.stamp_version = 9; });
  error = error_of([] { return Shared<Point>::open("later"); });
  EXPECT_EQ(error.code(), Status::mismatch);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("\"later\""), HasSubstr("stamp version 9")));
  EXPECT_TRUE(Shared<Point>::remove("later"));
}

TEST(SharedErrors, TheOtherByteOrder) {
  change_stamp("big", [](Stamp& stamp) {
    stamp.magic = __builtin_bswap64(stamp.magic);
    stamp.byte_order = __builtin_bswap32(stamp.byte_order);
    stamp.total_size = __builtin_bswap64(stamp.total_size);
  });
  const Error error = error_of([] { return Shared<Point>::open("big"); });
  EXPECT_EQ(error.code(), Status::mismatch);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("\"big\""), HasSubstr("expected byte order 0x1020304"),
                                  HasSubstr("found byte order 0x4030201"), HasSubstr("machine")));
  EXPECT_TRUE(Shared<Point>::remove("big"));
}

TEST(SharedErrors, ATruncatedFile) {
  Shared<Point>::create("cut", {.lifetime = Lifetime::until_removed});
  for (const std::size_t size : {std::size_t{4096 + 4}, std::size_t{4096}, std::size_t{100}}) {
    std::filesystem::resize_file(path_of("cut"), size);
    const Error error = error_of([] { return Shared<Point>::open("cut"); });
    EXPECT_EQ(error.code(), Status::corrupt);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("\"cut\""), HasSubstr(std::to_string(size)),
                                    HasSubstr("expected"), HasSubstr("remove it")));
  }
  EXPECT_TRUE(Shared<Point>::remove("cut"));
}

TEST(SharedErrors, AStaleOne) {
  run_and_kill([] { return Shared<Point>::create("stale"); });
  const Error error = error_of([] { return Shared<Point>::open("stale"); });
  EXPECT_EQ(error.code(), Status::stale);
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("\"stale\""), HasSubstr("expected an object that somebody uses"),
                    HasSubstr("left by pid"), HasSubstr("create it again")));
  EXPECT_FALSE(exists("stale"));
}

TEST(SharedErrors, ADescriptorOfSomethingElse) {
  EXPECT_THROW(Shared<Point>::from_fd(UniqueFd()), Error);
  EXPECT_THROW(Shared<Point>::from_fd(UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC))), Error);
}

// -------------------------------------------------------------------------------------------------
// The handle

TEST(SharedHandle, Moves) {
  auto first = Shared<Point>::create("moved");
  Point* const object = first.get();
  auto second = std::move(first);
  EXPECT_EQ(first.get(), nullptr);
  EXPECT_EQ(second.get(), object);
  auto third = Shared<Point>::create("left");
  third = std::move(second);
  EXPECT_FALSE(exists("left"));
  EXPECT_EQ(third.get(), object);
  EXPECT_EQ(third->x, 1);
  static_assert(!std::is_copy_constructible_v<Shared<Point>>);
}

TEST(SharedHandle, SM7_AViewThatOwnsKeepsItMapped) {
  std::shared_ptr<std::int32_t> view;
  {
    const auto owner = std::make_shared<Shared<Point>>(Shared<Point>::create("viewed"));
    view = {owner, &(*owner)->x};
  }
  EXPECT_EQ(*view, 1);
  EXPECT_TRUE(exists("viewed"));
  view.reset();
  EXPECT_FALSE(exists("viewed"));
}

TEST(SharedHandle, PrintsItself) {
  std::ostringstream out;
  const auto point = Shared<Point>::create("shown");
  out << point << '|' << Shared<int>(5) << '|' << Shared<Mutex>();
  EXPECT_THAT(out.str(), AllOf(HasSubstr("shared test.Point \"shown\", 8 bytes|shared signed32, 4 "
                                         "bytes: 5|shared sluice.Mutex, 16 bytes: Mutex: ")));
}

}  // namespace
}  // namespace sluice
