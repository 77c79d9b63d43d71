// SPDX-License-Identifier: Apache-2.0
//
// What travels, in which bytes, and what is refused; codec_property_test.cc has arbitrary values.

#include "sluice/ipc/codec.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/sync/error.h"
#include "sluice/tests/ipc/codec_types.h"

namespace elsewhere {

/// Nobody can add a line to this one.
class Temperature {
 public:
  Temperature() = default;
  explicit Temperature(std::string reading) : reading_(std::move(reading)) {}
  [[nodiscard]] const std::string& reading() const { return reading_; }
  virtual ~Temperature() = default;

 private:
  std::string reading_;
};

}  // namespace elsewhere

template <>
struct sluice::Codec<elsewhere::Temperature> {
  static void encode(Encoder& out, const elsewhere::Temperature& t) { out.value(t.reading()); }
  static bool decode(Decoder& in, elsewhere::Temperature& t) {
    std::string reading;
    if (!in.value(reading)) return false;
    t = elsewhere::Temperature(reading);
    return true;
  }
};

namespace sluice::tests {
namespace {

using Bytes = std::vector<std::byte>;

struct Padded {
  char c;
  std::int32_t i;
  bool operator==(const Padded&) const = default;
};
struct WithPointer {
  int* p;
};
struct WithoutTheLine {
  std::string s;
};
struct WithUnion {
  union {
    int a;
    float b;
  };
};
struct WithVouchedUnion {
  static constexpr bool kTravelsAsBytes = true;
  union {
    int a;
    float b;
  };
};
struct MembersWithPointer {
  int* p;
  auto sluice_members() { return std::tie(p); }
};
struct Unmakeable {
  explicit Unmakeable(int) {}
  std::string s;
  auto sluice_members() { return std::tie(s); }
};

// -------------------------------------------------------------------------------------------------
// What travels

static_assert(Travels<int> && Travels<bool> && Travels<double> && Travels<Colour> &&
              Travels<std::byte> && Travels<Padded> && Travels<std::chrono::nanoseconds>);
static_assert(Travels<std::string> && Travels<Person> && Travels<Tree> && Travels<Everything>);
static_assert(Travels<int[3]> && Travels<std::tuple<>> && Travels<std::array<int, 0>>);
static_assert(Travels<elsewhere::Temperature> && Travels<std::vector<elsewhere::Temperature>>);
static_assert(Travels<WithVouchedUnion>);

static_assert(!Travels<int*> && !Travels<const char*> && !Travels<std::nullptr_t> &&
              !Travels<int Padded::*> && !Travels<void (*)()>);
static_assert(!Travels<std::string_view> && !Travels<std::span<int>> &&
              !Travels<std::reference_wrapper<int>> && !Travels<std::unique_ptr<int>> &&
              !Travels<std::shared_ptr<int>>);
static_assert(!Travels<std::vector<int*>> && !Travels<std::optional<std::string_view>> &&
                  !Travels<std::map<int, char*>> && !Travels<MembersWithPointer>,
              "not inside something else either");
static_assert(!Travels<WithPointer> && !Travels<WithUnion> && !Travels<WithoutTheLine> &&
              !Travels<std::vector<WithoutTheLine>> && !Travels<std::vector<Unmakeable>>);

static_assert(TellsItsSize<Everything> && !TellsItsSize<elsewhere::Temperature> &&
              !TellsItsSize<std::vector<elsewhere::Temperature>>);

static_assert(codec_fingerprint<std::vector<int>>() != codec_fingerprint<std::vector<unsigned>>() &&
              codec_fingerprint<std::vector<int>>() != codec_fingerprint<std::set<int>>() &&
              codec_fingerprint<Person>() != codec_fingerprint<Tree>() &&
              codec_fingerprint<std::array<int, 3>>() != codec_fingerprint<std::array<int, 4>>() &&
              codec_fingerprint<std::optional<int>>() != codec_fingerprint<std::tuple<int>>());
static_assert(codec_fingerprint<std::vector<int>>() == codec_fingerprint<std::list<int>>(),
              "the same bytes, so either may be received");
static_assert(codec_fingerprint<Padded>() == type_fingerprint<Padded>());

// -------------------------------------------------------------------------------------------------
// Bytes

Bytes bytes_of(std::initializer_list<int> numbers) {
  Bytes bytes;
  for (const int n : numbers) bytes.push_back(static_cast<std::byte>(n));
  return bytes;
}

TEST(CodecFormat, IsAsTheHeaderSays) {
  EXPECT_EQ(encode(std::uint32_t{0x04030201}), bytes_of({1, 2, 3, 4}));
  EXPECT_EQ(encode(true), bytes_of({1}));
  EXPECT_EQ(encode(std::string("ab")), bytes_of({2, 0, 0, 0, 'a', 'b'}));
  EXPECT_EQ(encode(std::vector<std::uint16_t>{7, 8}), bytes_of({2, 0, 0, 0, 7, 0, 8, 0}));
  EXPECT_EQ(encode(std::vector<bool>{true, false}), bytes_of({2, 0, 0, 0, 1, 0}));
  EXPECT_EQ(encode(std::optional<std::uint8_t>(9)), bytes_of({1, 9}));
  EXPECT_EQ(encode(std::optional<std::uint8_t>()), bytes_of({0}));
  EXPECT_EQ(encode(std::variant<char, std::uint8_t>(std::uint8_t{5})), bytes_of({1, 5}));
  EXPECT_EQ(encode(std::map<std::uint8_t, bool>{{3, true}}), bytes_of({1, 0, 0, 0, 3, 1}));
  EXPECT_EQ(encode(std::tuple<std::uint8_t, bool>(4, true)), bytes_of({4, 1}));
  EXPECT_EQ(encode(std::tuple<>()), bytes_of({0})) << "even nothing takes a byte";
  EXPECT_EQ(encode(std::array<std::string, 0>()), bytes_of({0}));
  EXPECT_EQ(encode(Person{"A", {}, {}}), bytes_of({1, 0, 0, 0, 'A', 0, 0, 0, 0, 0}));
}

/// Bytes that were left behind in padding stay here, wherever in a message the padding is.
TEST(CodecFormat, PaddingDoesNotLeaveTheProcess) {
  alignas(Padded) std::array<unsigned char, sizeof(Padded)> memory;
  memory.fill(0xEE);
  auto* const secret = new (memory.data()) Padded;
  secret->c = 1;
  secret->i = 2;
  // Through a function that the compiler can't look into, or it copies members alone.
  asm volatile("" : "+m"(memory));
  const Bytes expected = bytes_of({1, 0, 0, 0, 2, 0, 0, 0});
  EXPECT_EQ(encode(*secret), expected);
  const std::vector<Padded> many(3, *secret);
  const Bytes bytes = encode(many);
  for (const std::byte b : bytes) EXPECT_NE(b, std::byte{0xEE});
  EXPECT_EQ(decode<std::vector<Padded>>(bytes), many);
}

TEST(CodecFormat, TheSizeIsKnownBefore) {
  Everything value;
  value.text = "text";
  value.people["x"] = {Person{"Ada", {"Countess"}, 36}};
  value.any = "any";
  value.nothings.resize(3);
  value.tree.branches.resize(2);
  EXPECT_EQ(encode(value).size(), encoded_size(value));
  Bytes grown = {std::byte{9}};
  encode(value, grown);
  EXPECT_EQ(grown.size(), 1 + encoded_size(value)) << "appended";
  EXPECT_EQ(decode<Everything>(std::span(grown).subspan(1)), value);
}

TEST(CodecFormat, RoomOfTheCallersIsUsedOrTooShort) {
  const Person ada{"Ada", {"Countess"}, 36};
  Bytes room(encoded_size(ada) + 1, std::byte{0xAA});
  const EncodeResult result = encode_into(room, ada);
  EXPECT_EQ(result.status, Status::ok);
  EXPECT_EQ(result.size, encoded_size(ada));
  EXPECT_EQ(room.back(), std::byte{0xAA});
  EXPECT_EQ(decode<Person>(std::span(room).first(result.size)), ada);
  for (std::size_t size = 0; size < result.size; ++size) {
    EXPECT_EQ(encode_into(std::span(room).first(size), ada).status, Status::too_large);
  }
}

// -------------------------------------------------------------------------------------------------
// Values

TEST(Codec, MethodsCanBeCalledOnArrival) {
  EXPECT_EQ(decode<Person>(encode(Person{"Ada", {}, {}})).greeting(), "Hello, Ada");
}

TEST(Codec, ATypeOfSomebodyElsesTravelsThroughASpecialisation) {
  const auto bytes = encode(std::vector{elsewhere::Temperature("21 C")});
  EXPECT_EQ(decode<std::vector<elsewhere::Temperature>>(bytes).front().reading(), "21 C");
}

TEST(Codec, WhatWasThereBeforeIsGone) {
  Person person{"old", {"a", "b"}, 3};
  EXPECT_EQ(decode(encode(Person{"new", {"c"}, {}}), person), Status::ok);
  EXPECT_EQ(person, (Person{"new", {"c"}, {}}));
}

TEST(Codec, AValuelessVariantIsMisuse) {
  struct Thrower {
    Thrower() = default;
    Thrower(const Thrower&) { throw 1; }
    Thrower& operator=(const Thrower&) { throw 1; }
    std::string s;
    auto sluice_members() { return std::tie(s); }
  };
  std::variant<int, Thrower> value;
  const Thrower thrower;
  try {
    value.emplace<Thrower>(thrower);
  } catch (int) {
  }
  ASSERT_TRUE(value.valueless_by_exception());
  EXPECT_THROW(static_cast<void>(encode(value)), std::logic_error);
}

// -------------------------------------------------------------------------------------------------
// Bytes that nobody wrote

template <class T>
Status status_of(const Bytes& bytes) {
  T value{};
  return decode(bytes, value);
}

TEST(CodecHostile, BytesThatMakeNoSenseAreCorrupt) {
  EXPECT_EQ(status_of<bool>(bytes_of({2})), Status::corrupt);
  EXPECT_EQ(status_of<std::optional<int>>(bytes_of({2, 0, 0, 0, 0})), Status::corrupt);
  EXPECT_EQ((status_of<std::variant<bool, char>>(bytes_of({2, 0}))), Status::corrupt);
  EXPECT_EQ(status_of<int>(bytes_of({1, 2, 3})), Status::corrupt) << "too short";
  EXPECT_EQ(status_of<int>(bytes_of({1, 2, 3, 4, 5})), Status::corrupt) << "too long";
  EXPECT_EQ(status_of<std::set<char>>(bytes_of({2, 0, 0, 0, 'a', 'a'})), Status::corrupt)
      << "twice";
  EXPECT_EQ((status_of<std::map<char, char>>(bytes_of({2, 0, 0, 0, 'a', 1, 'a', 2}))),
            Status::corrupt);
  EXPECT_EQ(status_of<std::tuple<>>(bytes_of({1})), Status::corrupt);
  EXPECT_THROW(static_cast<void>(decode<bool>(bytes_of({2}))), Error);
}

/// Remembers the largest piece of memory that anybody has asked it for.
std::size_t g_largest = 0;
template <class T>
struct Watched {
  using value_type = T;
  Watched() = default;
  template <class U>
  explicit Watched(const Watched<U>&) {}
  T* allocate(std::size_t n) {
    g_largest = std::max(g_largest, n * sizeof(T));
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) { std::allocator<T>().deallocate(p, n); }
  bool operator==(const Watched&) const = default;
};

TEST(CodecHostile, ACountBeyondTheBytesThatAreLeftAllocatesNothing) {
  using Text = std::basic_string<char, std::char_traits<char>, Watched<char>>;
  using Texts = std::vector<Text, Watched<Text>>;
  using Big = std::array<std::optional<std::uint64_t>, 1000>;
  g_largest = 0;
  const Bytes four_billion = bytes_of({255, 255, 255, 255, 1, 2, 3});
  EXPECT_EQ(status_of<Text>(four_billion), Status::corrupt);
  EXPECT_EQ(status_of<Texts>(four_billion), Status::corrupt);
  EXPECT_EQ((status_of<std::vector<std::uint64_t, Watched<std::uint64_t>>>(four_billion)),
            Status::corrupt);
  EXPECT_EQ(g_largest, 0U);
  // A count that the bytes would suffice for, were the elements not larger than what they take.
  Bytes bytes = bytes_of({0, 4, 0, 0});
  bytes.resize(4 + 1024);
  EXPECT_EQ((status_of<std::vector<Big, Watched<Big>>>(bytes)), Status::corrupt);
  EXPECT_LE(g_largest, 4 * sizeof(Big));
}

Tree chain(int length) {
  Tree tree;
  for (int i = 1; i < length; ++i) {
    Tree root;
    root.branches.push_back(std::move(tree));
    tree = std::move(root);
  }
  return tree;
}

TEST(CodecHostile, NestingHasAnEnd) {
  const Tree deepest = chain(kMostNested);
  EXPECT_EQ(decode<Tree>(encode(deepest)), deepest);
  const Tree deeper = chain(kMostNested + 1);
  EXPECT_THROW(static_cast<void>(encode(deeper)), std::logic_error);
  EXPECT_THROW(static_cast<void>(encoded_size(deeper)), std::logic_error);
  Bytes grown;
  EXPECT_THROW(encode(deeper, grown), std::logic_error);
  EXPECT_EQ(encoded_size(deepest), 6U * kMostNested) << "measuring goes on as before";

  Bytes hostile;
  for (int i = 0; i < 100000; ++i) {
    for (const int b : {0, 0, 1, 0, 0, 0}) hostile.push_back(static_cast<std::byte>(b));
  }
  Tree tree;
  EXPECT_EQ(decode(hostile, tree), Status::corrupt);
}

}  // namespace
}  // namespace sluice::tests
