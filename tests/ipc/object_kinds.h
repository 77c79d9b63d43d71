// SPDX-License-Identifier: Apache-2.0
//
// Every kind of object that has a name or a path, for tests of what is the same for all.
//
//   INSTANTIATE_TEST_SUITE_P(Kinds, Refusals, testing::ValuesIn(object_kinds()), ...);

#ifndef SLUICE_TESTS_IPC_OBJECT_KINDS_H_
#define SLUICE_TESTS_IPC_OBJECT_KINDS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/ipc/arena.h"
#include "sluice/ipc/array.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/value.h"

namespace sluice::tests {

inline constexpr SegmentKind kProbe = {.name = "probe", .version = 1, .fingerprint = 7};
inline constexpr SegmentKind kOtherProbe = {.name = "probe", .version = 1, .fingerprint = 8};

struct Point {
  static constexpr std::string_view kTypeName = "test.Point";
  std::int64_t x = 1, y = 2;
};
struct Pair {
  static constexpr std::string_view kTypeName = "test.Pair";
  std::int64_t x = 1, y = 2;
};

/// A way to make an object of some kind and to find it again. Where it is a file of the user's the
/// name is a path.
struct ObjectKind {
  const char* title;
  bool is_file;
  std::function<void(const std::string&)> make;   ///< one that outlasts its users
  std::function<void(const std::string&)> large;  ///< one of 1 MiB or more
  std::function<void(const std::string&)> open;
  std::function<void(const std::string&)> open_as_other;  ///< of another type or kind

  friend std::ostream& operator<<(std::ostream& out, const ObjectKind& kind) {
    return out << kind.title;
  }
};

inline constexpr auto kKept = Lifetime::until_removed;
inline constexpr std::size_t kLarge = 1 << 20;
struct Large {
  static constexpr std::string_view kTypeName = "test.Large";
  std::array<std::byte, kLarge> bytes;
};

using Name = const std::string&;

inline std::vector<ObjectKind> named_kinds() {
  const auto nothing = [](std::span<std::byte>) {};
  return {
      {"Segment", false, [=](Name n) { Segment::create(n, kProbe, 100, kKept, nothing); },
       [=](Name n) { Segment::create(n, kProbe, kLarge, kKept, nothing); },
       [](Name n) { Segment::open(n, kProbe); }, [](Name n) { Segment::open(n, kOtherProbe); }},
      {"Shared", false, [](Name n) { Shared<Point>::create(n, {.lifetime = kKept}); },
       [](Name n) { Shared<Large>::create(n, {.lifetime = kKept}); },
       [](Name n) { Shared<Point>::open(n); }, [](Name n) { Shared<Pair>::open(n); }},
      {"Value", false, [](Name n) { Value<Point>::create(n, {}, kKept); },
       [](Name n) { Value<Large>::create(n, {}, kKept); }, [](Name n) { Value<Point>::open(n); },
       [](Name n) { Value<Pair>::open(n); }},
      {"Array", false, [](Name n) { Array<int>::create(n, 10, {.lifetime = kKept}); },
       [](Name n) { Array<int>::create(n, kLarge, {.lifetime = kKept}); },
       [](Name n) { Array<int>::open(n); }, [](Name n) { Array<float>::open(n); }},
      {"RawArray", false, [](Name n) { RawArray<int>::create(n, 10, {.lifetime = kKept}); },
       [](Name n) { RawArray<int>::create(n, kLarge, {.lifetime = kKept}); },
       [](Name n) { RawArray<int>::open(n); }, [](Name n) { Array<int>::open(n); }},
      {"ShareableList", false,
       [](Name n) { ShareableList::create(n, {1, "a"}, {.lifetime = kKept}); },
       [](Name n) { ShareableList::create(n, {std::string(kLarge, 'x')}, {.lifetime = kKept}); },
       [](Name n) { ShareableList::open(n); }, [](Name n) { RawArray<char>::open(n); }},
      {"Arena", false, [](Name n) { Arena::create(n, {{64, 10}}, {.lifetime = kKept}); },
       [](Name n) { Arena::create(n, {{1 << 16, kLarge >> 16}}, {.lifetime = kKept}); },
       [](Name n) { Arena::open(n); }, [](Name n) { Shared<Point>::open(n); }},
      {"Receiver", false, [](Name n) { Receiver::create(n, 4096, kKept); },
       [](Name n) { Receiver::create(n, kLarge, kKept); }, [](Name n) { Receiver::open(n); },
       [](Name n) { Connection::open(n); }},
      {"Sender", false, [](Name n) { Sender::create(n, 4096, kKept); },
       [](Name n) { Sender::create(n, kLarge, kKept); }, [](Name n) { Sender::open(n); },
       [](Name n) { Value<int>::open(n); }},
      {"Connection", false,
       [](Name n) { Connection::create(n, {.capacity = 4096, .lifetime = kKept}); },
       [](Name n) { Connection::create(n, {.capacity = kLarge, .lifetime = kKept}); },
       [](Name n) { Connection::open(n); }, [](Name n) { Sender::open(n); }},
  };
}

inline std::vector<ObjectKind> file_kinds() {
  return {
      {"ArrayFile", true, [](Name n) { Array<int>::map_file(n, 10); },
       [](Name n) { Array<int>::map_file(n, kLarge); }, [](Name n) { Array<int>::open_file(n); },
       [](Name n) { Array<float>::open_file(n); }},
      {"ValueFile", true, [](Name n) { Value<Point>::map_file(n, {}); },
       [](Name n) { Value<Large>::map_file(n, {}); }, [](Name n) { Value<Point>::open_file(n); },
       [](Name n) { Value<Pair>::open_file(n); }},
  };
}

inline std::vector<ObjectKind> object_kinds() {
  std::vector<ObjectKind> all = named_kinds();
  for (const ObjectKind& kind : file_kinds()) all.push_back(kind);
  return all;
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_IPC_OBJECT_KINDS_H_
