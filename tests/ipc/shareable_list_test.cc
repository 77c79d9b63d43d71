// SPDX-License-Identifier: Apache-2.0
//
// Rows of BEHAVIOUR: SL1, SL2.

#include "sluice/ipc/shareable_list.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/stamp.h"
#include "sluice/pool/process.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/child_party.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using tests::ChildParty;
using tests::Gate;

const ListItem kNone = {};

Bytes bytes(const std::string& text) {
  const auto all = std::as_bytes(std::span(text));
  return {all.begin(), all.end()};
}

std::vector<ListItem> mixed() { return {"howdy", bytes("HoWdY"), -273.154, 100, kNone, true, 42}; }

std::vector<ListItem> all_of(const ShareableList& list) { return {list.begin(), list.end()}; }

template <class Exception, class Call>
std::string text_of(Call call) {
  try {
    static_cast<void>(call());
  } catch (const Exception& e) {
    return e.what();
  }
  ADD_FAILURE() << "nothing of that type was thrown";
  return "";
}

// -------------------------------------------------------------------------------------------------
// In three ways

struct ByThreads {
  static constexpr const char* kName = "Threads";
  static void run(const std::function<void(ShareableList&)>& theirs,
                  const std::function<void(ShareableList&)>& ours) {
    ShareableList list(mixed());
    {
      const std::jthread other([&] { tests::run_reporting([&] { theirs(list); }); });
    }
    ours(list);
  }
};

struct ByFork {
  static constexpr const char* kName = "Fork";
  static void run(const std::function<void(ShareableList&)>& theirs,
                  const std::function<void(ShareableList&)>& ours) {
    ShareableList list(mixed());
    ChildParty other([&] { theirs(list); });
    other.finish();
    ours(list);
  }
};

struct ByName {
  static constexpr const char* kName = "Name";
  static void run(const std::function<void(ShareableList&)>& theirs,
                  const std::function<void(ShareableList&)>& ours) {
    ShareableList list = ShareableList::create("three-ways", mixed());
    ChildParty other([&] {
      ShareableList mine = ShareableList::open("three-ways");
      theirs(mine);
    });
    other.finish();
    ours(list);
  }
};

struct Names {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};

template <class Way>
class ListBody : public testing::Test {};
using Ways = testing::Types<ByThreads, ByFork, ByName>;
TYPED_TEST_SUITE(ListBody, Ways, Names);

TYPED_TEST(ListBody, SL1_WhatOneWritesTheOtherReads) {
  TypeParam::run(
      [](ShareableList& list) {
        EXPECT_EQ(all_of(list), mixed());
        list[0] = "bye";
        list[1] = bytes("12345678");
        list[2] = 2.5;
        list[3] = list[6];
        list[4] = "eight by";
        list[5] = kNone;
      },
      [](ShareableList& list) {
        EXPECT_EQ(all_of(list), (std::vector<ListItem>{"bye", bytes("12345678"), 2.5, 42,
                                                       "eight by", kNone, 42}));
      });
}

TYPED_TEST(ListBody, NobodyReadsHalfAnItem) {
  const std::string a = "aaaaa";
  const std::string b = "bbb";
  const auto write = [&](ShareableList& list) {
    for (int i = 0; i < 3'000; ++i) list[0] = i % 2 == 0 ? a : b;
  };
  TypeParam::run(
      [&](ShareableList& list) {
        std::thread second([&] { write(list); });
        for (int i = 0; i < 3'000; ++i) {
          const ListItem seen = list[0];
          if (seen != ListItem(a) && seen != ListItem(b) && seen != ListItem("howdy")) {
            ADD_FAILURE() << item_text(seen);
            break;
          }
        }
        second.join();
      },
      [&](ShareableList& list) { EXPECT_EQ(list[0], ListItem(b)); });
}

// -------------------------------------------------------------------------------------------------

TEST(ShareableListOf, SL1_ReadsBackWhatItWasMadeFrom) {
  const ShareableList list(mixed());
  EXPECT_EQ(list.size(), 7U);
  EXPECT_EQ(all_of(list), mixed());
  std::vector<std::string> formats;
  for (std::size_t i = 0; i < list.size(); ++i) formats.push_back(list.format(i));
  EXPECT_THAT(formats,
              testing::ElementsAre("str[8]", "bytes[8]", "float", "int", "none", "bool", "int"));
  std::ostringstream out;
  out << ShareableList({"a", 1, {}, false, 0.5, bytes("z")});
  EXPECT_EQ(out.str(), "shareable_list ['a', 1, None, False, 0.5, b'\\x7a'], Mutex: unlocked");
}

TEST(ShareableListOf, SL1_IndexesAreChecked) {
  const ShareableList list({1, 2});
  EXPECT_EQ(text_of<std::out_of_range>([&] { return list.get(2); }),
            "index 2 of a list of 2 items");
  EXPECT_THROW(list.set(2, 1), std::out_of_range);
  EXPECT_THROW(static_cast<void>(list.room(2)), std::out_of_range);
  EXPECT_THROW(static_cast<void>(list.format(9)), std::out_of_range);
}

TEST(ShareableListOf, SL1_WhatIsTooLongIsRefusedAndTheNeighboursStay) {
  const ShareableList list({1, "howdy", 2});
  list.set(1, "12345678");
  EXPECT_EQ(text_of<std::length_error>([&] {
              list.set(1, "123456789");
              return 0;
            }),
            "item 1 has room for 8 bytes, the value has 9");
  EXPECT_THROW(list.set(0, "123456789"), std::length_error);
  EXPECT_EQ(all_of(list), (std::vector<ListItem>{1, "12345678", 2}));
  const ShareableList nine({"123456789"});
  EXPECT_EQ(nine.room(0), 16U);
  nine.set(0, std::string(16, 'x'));
  EXPECT_THROW(nine.set(0, std::string(17, 'x')), std::length_error);
}

TEST(ShareableListOf, SL1_ZeroesAndAnyEncodingSurvive) {
  const std::vector<ListItem> items = {std::string("a\0b\0\0", 5), "\u00e4\u20ac\U0001f600",
                                       bytes(std::string("\0\0", 2)), "", Bytes()};
  EXPECT_EQ(all_of(ShareableList(items)), items);
}

TEST(ShareableListOf, SL1_CountAndIndex) {
  const ShareableList list({1, "x", 1, true, 1.0, {}});
  EXPECT_EQ(list.count(1), 2U) << "true and 1.0 are others";
  EXPECT_EQ(list.count("y"), 0U);
  EXPECT_EQ(list.index("x"), 1U);
  EXPECT_EQ(list.index(kNone), 5U);
  EXPECT_EQ(text_of<std::invalid_argument>([&] { return list.index("y"); }),
            "'y' is not in this list");
}

TEST(ShareableListOf, SL1_ACopyIsAListOfItsOwn) {
  const ShareableList list({"longer than eight", 1});
  list.set(0, "short");
  const ShareableList copy = list.copy();
  EXPECT_EQ(all_of(copy), all_of(list));
  EXPECT_EQ(copy.room(0), list.room(0)) << "in as much room";
  copy.set(1, 2);
  EXPECT_EQ(list[1], ListItem(1));
  const ShareableList named = list.copy("copied");
  EXPECT_EQ(ShareableList::open("copied")[0], ListItem("short"));
}

TEST(ShareableListOf, SL1_AnEmptyOneWorks) {
  const ShareableList list(std::vector<ListItem>{});
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.begin(), list.end());
  EXPECT_EQ(list.count(1), 0U);
  EXPECT_THROW(static_cast<void>(list.index(1)), std::invalid_argument);
}

TEST(ShareableListOf, SL2_AHandleSharesAndADeadOneIsRefused) {
  const ShareableList list({1});
  const ShareableList same = ShareableList::from_fd(list.fd());
  same.set(0, 2);
  EXPECT_EQ(list[0], ListItem(2));
  {
    const ShareableList gone = ShareableList::create("gone", {1});
  }
  EXPECT_THAT(text_of<Error>([] { return ShareableList::open("gone"); }),
              AllOf(HasSubstr("\"gone\""), HasSubstr("create it first")));
  const auto kept = ShareableList::open_or_create("kept", mixed());
  EXPECT_TRUE(kept.created());
  EXPECT_FALSE(ShareableList::open_or_create("kept", mixed()).created());
  EXPECT_TRUE(ShareableList::remove("kept"));
}

TEST(ShareableListOf, AKilledWritersLockHoldsUpNobody) {
  const ShareableList list = ShareableList::create("killed", {"old"});
  Gate done;
  // The lock is the object's first word: held as by somebody who is killed in the midst of set().
  Process child([&] {
    const UniqueFd fd(open((Domain::current().path() + "/obj-killed").c_str(), O_RDWR | O_CLOEXEC));
    auto* const lock = static_cast<Mutex*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), kObjectOffset));
    lock->lock();
    done.open();
    for (;;) pause();
  });
  done.wait();
  child.kill();
  child.join();
  EXPECT_EQ(list[0], ListItem("old"));
  list.set(0, "new");
  EXPECT_EQ(list[0], ListItem("new"));
}

/// Writes to the object of a named list, as somebody hostile would.
void overwrite(const std::string& name, std::size_t offset, std::uint64_t word, std::size_t size) {
  const UniqueFd fd(open((Domain::current().path() + "/obj-" + name).c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(pwrite(fd.get(), &word, size, static_cast<off_t>(kObjectOffset + offset)),
            static_cast<ssize_t>(size));
}

TEST(ShareableListOf, BytesThatNoListHasAreRefused) {
  const ShareableList list = ShareableList::create("hostile", {"text", 1});
  const auto is_refused = [] {
    EXPECT_THAT(text_of<Error>([] { return ShareableList::open("hostile"); }),
                AllOf(HasSubstr("\"hostile\""), HasSubstr("corrupt"), HasSubstr("expected"),
                      HasSubstr("found"), HasSubstr("remove it")));
  };
  for (const std::uint64_t count : {255UL, 1UL << 40, ~0UL}) {
    overwrite("hostile", 16, count, 8);
    is_refused();
  }
  overwrite("hostile", 16, 2, 8);
  for (const std::uint64_t offset : {0UL, 33UL, 4088UL, 1UL << 60, ~7UL}) {
    overwrite("hostile", 32, offset, 8);
    is_refused();
  }
  overwrite("hostile", 32, 64, 8);
  for (const std::uint64_t room : {0UL, 9UL, 0xfffffff8UL}) {
    overwrite("hostile", 40, room, 4);
    is_refused();
  }
  overwrite("hostile", 40, 8, 4);
  EXPECT_EQ(ShareableList::open("hostile")[0], ListItem("text"));
  for (const std::uint64_t front : {std::uint64_t{9}, std::uint64_t{9} << 32 | 4,
                                    std::uint64_t{7} << 32 | 2, std::uint64_t{4} << 32}) {
    overwrite("hostile", 64, front, 8);
    EXPECT_THAT(text_of<Error>([&] { return list.get(0); }),
                AllOf(HasSubstr("item 0"), HasSubstr("corrupt"), HasSubstr("set it anew")));
  }
  EXPECT_EQ(list[1], ListItem(1)) << "and no other is concerned";
  list.set(0, "anew");
  EXPECT_EQ(list[0], ListItem("anew"));
}

}  // namespace
}  // namespace sluice
