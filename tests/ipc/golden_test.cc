// SPDX-License-Identifier: Apache-2.0
//
// What a version of sluice has written, this one reads: an image of each kind of object, per
// version of its format, and what must be found in it. And what this one writes is what the image
// of its version shows, so that no byte moves unless the version says so.

#include "sluice/tests/ipc/golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <ostream>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "sluice/ipc/arena.h"
#include "sluice/ipc/array.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"

namespace sluice::tests {
namespace {

using testing::HasSubstr;

/// A kind of object, in one version of its format.
struct Kind {
  const char* image;
  void (*make)(const std::string& name);  ///< leaves the object of the image, until removed
  void (*use)(const std::string& name);   ///< expects to find in it what make() has put there
  void (*open)(const std::string& name);  ///< only that, to see an error
  std::vector<Range> owners;              ///< besides the stamp's
};

std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.image; }

// -------------------------------------------------------------------------------------------------
// The kinds

struct Tick {
  static constexpr std::string_view kTypeName = "test.Tick";
  std::int64_t price;
  std::int32_t size, venue;
};

void make_pipe(const std::string& name) {
  Sender tx = Sender::create(name, 4096, Lifetime::until_removed);
  EXPECT_EQ(tx.send("hello"), Status::ok);
  EXPECT_EQ(tx.send(42), Status::ok);
  EXPECT_EQ(tx.send(Tick{.price = -7, .size = 3, .venue = 9}), Status::ok);
  EXPECT_EQ(tx.send(""), Status::ok);
}

void use_pipe(const std::string& name) {
  Receiver rx = Receiver::open(name);
  EXPECT_EQ(rx.capacity(), 4096U);
  std::string text;
  EXPECT_EQ(rx.recv(text, Deadline::now()), Status::ok);
  EXPECT_EQ(text, "hello");
  int number = 0;
  EXPECT_EQ(rx.recv(number, Deadline::now()), Status::ok);
  EXPECT_EQ(number, 42);
  Tick tick = {};
  EXPECT_EQ(rx.recv(tick, Deadline::now()), Status::ok);
  EXPECT_EQ(std::tuple(tick.price, tick.size, tick.venue), std::tuple(-7, 3, 9));
  EXPECT_EQ(rx.recv(text, Deadline::now()), Status::ok);
  EXPECT_EQ(text, "");
  EXPECT_EQ(rx.recv(text, Deadline::now()), Status::closed) << "as its sender left it";
  Sender tx = Sender::open(name);
  EXPECT_EQ(tx.send("again"), Status::ok);
  EXPECT_EQ(rx.recv(text, Deadline::now()), Status::ok);
}

struct Office {
  static constexpr std::string_view kTypeName = "test.Office";
  Mutex mutex;
  ConditionVariable changed;
  std::int64_t count = 0x0102030405060708;
  double share = 0.5;
  std::array<char, 8> text = {"sluice"};
  static constexpr auto kMembers =
      std::tuple(&Office::mutex, &Office::changed, &Office::count, &Office::share, &Office::text);
};

void make_shared(const std::string& name) {
  Shared<Office>::create(name, {.lifetime = Lifetime::until_removed});
}

void use_shared(const std::string& name) {
  const auto office = Shared<Office>::open(name);
  EXPECT_EQ(office->count, 0x0102030405060708);
  EXPECT_EQ(office->share, 0.5);
  EXPECT_STREQ(office->text.data(), "sluice");
  const std::scoped_lock hold(office->mutex);
  office->changed.notify_all();
}

void make_array(const std::string& name) {
  const std::array<Tick, 3> ticks = {{{1, 2, 3}, {-4, 5, 6}, {7, 8, 9}}};
  Array<Tick>::create(name, ticks, {.lifetime = Lifetime::until_removed});
}

void use_array(const std::string& name) {
  const auto array = Array<Tick>::open(name);
  ASSERT_EQ(array.size(), 3U);
  const auto held = array.lock();
  EXPECT_EQ(std::tuple(held[1].price, held[1].size, held[1].venue), std::tuple(-4, 5, 6));
}

std::vector<ListItem> list_items() {
  return {"sluice", Bytes(9, std::byte{0xab}), -2.5, 42, ListItem(), true};
}

void make_list(const std::string& name) {
  ShareableList::create(name, list_items(), {.lifetime = Lifetime::until_removed});
}

void use_list(const std::string& name) {
  const auto list = ShareableList::open(name);
  EXPECT_EQ(std::vector<ListItem>(list.begin(), list.end()), list_items());
}

void make_arena(const std::string& name) {
  Arena::create(name, {{.chunk_bytes = 64, .count = 2}, {.chunk_bytes = 1000, .count = 1}},
                {.lifetime = Lifetime::until_removed});
}

void use_arena(const std::string& name) {
  const auto arena = Arena::open(name);
  EXPECT_EQ(arena->capacity(), 3U);
  EXPECT_EQ(arena->bytes(arena->allocate(100)).size(), 1024U);
  EXPECT_EQ(arena->bytes(arena->allocate(64)).size(), 64U);
}

std::vector<Kind> kinds() {
  return {
      {"arena_v1", make_arena, use_arena, [](const std::string& name) { Arena::open(name); }, {}},
      {"array_v1",
       make_array,
       use_array,
       [](const std::string& name) { Array<Tick>::open(name); },
       {}},
      {"shareable_list_v1",
       make_list,
       use_list,
       [](const std::string& name) { ShareableList::open(name); },
       {}},
      {"pipe_v1",
       make_pipe,
       use_pipe,
       [](const std::string& name) { Receiver::open(name); },
       // The tags of its ends, which are the low halves of their words.
       {{kObjectOffset, 4}, {kObjectOffset + 8, 4}}},
      {"shared_v1",
       make_shared,
       use_shared,
       [](const std::string& name) { Shared<Office>::open(name); },
       {}},
  };
}

// -------------------------------------------------------------------------------------------------

std::string path_of(const Kind& kind) {
  return std::string("tests/ipc/testdata/") + kind.image + ".hex";
}

Image made_now(const Kind& kind) {
  const std::string name = std::string("now-") + kind.image;
  kind.make(name);
  Image image = read_bytes(Domain::current().path() + "/obj-" + name);
  EXPECT_TRUE(Segment::remove(name));
  return image;
}

class Golden : public testing::TestWithParam<Kind> {};

TEST_P(Golden, WhatIsWrittenNowHasTheSameBytes) {
  const Image image = made_now(GetParam());
  if (const char* directory = std::getenv("SLUICE_WRITE_GOLDEN"); directory != nullptr) {
    write_golden(std::string(directory) + "/" + GetParam().image + ".hex", image);
  }
  EXPECT_EQ(difference(masked(read_golden(path_of(GetParam())), GetParam().owners),
                       masked(image, GetParam().owners)),
            "")
      << "the format of " << GetParam().image
      << " has changed: give the kind a new version, and that an image of its own";
}

TEST_P(Golden, WhatWasWrittenThenIsReadNow) {
  put_object("then", read_golden(path_of(GetParam())), [](Stamp&) {});
  GetParam().use("then");
  EXPECT_TRUE(Segment::remove("then"));
}

TEST_P(Golden, AnotherVersionIsRefusedWithBothNumbers) {
  std::uint32_t version = 0;
  put_object("later", read_golden(path_of(GetParam())),
             [&](Stamp& stamp) { version = stamp.kind_version++; });
  try {
    GetParam().open("later");
    ADD_FAILURE() << "it was opened";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::mismatch);
    EXPECT_THAT(e.text().expected, HasSubstr("version " + std::to_string(version)));
    EXPECT_THAT(e.text().found, HasSubstr("version " + std::to_string(version + 1)));
  }
  EXPECT_TRUE(Segment::remove("later"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, Golden, testing::ValuesIn(kinds()),
                         [](const auto& info) { return std::string(info.param.image); });

}  // namespace
}  // namespace sluice::tests
