// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/fingerprint.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace sluice::tests {
namespace {

struct Named {
  static constexpr std::string_view kTypeName = "test.Named";
  std::uint64_t x;
};
struct NamedAlike {
  static constexpr const char* kTypeName = "test.Named";
  std::uint64_t x;
};
struct NamedAlikeAndLarger {
  static constexpr std::string_view kTypeName = "test.Named";
  std::uint64_t x, y;
};
struct OtherName {
  static constexpr std::string_view kTypeName = "test.Named/2";
  std::uint64_t x;
};
struct Nameless {
  std::uint64_t x;
};
struct NamelessAlike {
  double x;
};
struct alignas(32) Aligned {
  std::uint64_t x;
};

enum class Color : std::uint8_t { red };  // can't have a member

struct Pair {
  static constexpr std::string_view kTypeName = "test.Pair";
  std::uint32_t a, b;
  static constexpr auto kMembers = std::tuple(&Pair::a, &Pair::b);
};
struct SwappedPair {
  static constexpr std::string_view kTypeName = "test.Pair";
  std::uint32_t b, a;
  static constexpr auto kMembers = std::tuple(&SwappedPair::a, &SwappedPair::b);
};
struct SignedPair {
  static constexpr std::string_view kTypeName = "test.Pair";
  std::uint32_t a;
  std::int32_t b;
  static constexpr auto kMembers = std::tuple(&SignedPair::a, &SignedPair::b);
};

}  // namespace
}  // namespace sluice::tests

template <>
inline constexpr std::string_view sluice::kTypeNameOf<sluice::tests::Color> = "test.Color";

namespace sluice::tests {
namespace {

std::uint64_t hash_of(std::string_view text) { return Fnv1a().add(text).value(); }

TEST(Fnv1a, HasTheValuesThatItsAuthorsPublished) {
  EXPECT_EQ(hash_of(""), 0xcbf29ce484222325U);
  EXPECT_EQ(hash_of("a"), 0xaf63dc4c8601ec8cU);
  EXPECT_EQ(hash_of("foobar"), 0x85944171f73967e8U);
}

TEST(Fnv1a, DoesNotDependOnHowTheBytesAreGiven) {
  const std::string text = "fo\xff\x80";
  std::vector<std::byte> bytes;
  for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  EXPECT_EQ(Fnv1a().add(std::span<const std::byte>(bytes)).value(), hash_of(text));
  EXPECT_EQ(Fnv1a().add("fo").add("\xff\x80").value(), hash_of(text)) << "in pieces";
}

TEST(Fnv1a, TakesNumbersLowestByteFirst) {
  EXPECT_EQ(Fnv1a().add_number(0x0807060504030201).value(), hash_of("\1\2\3\4\5\6\7\10"));
}

TEST(TypeFingerprint, IsANumberOfTheProgramNotOfTheBuild) {
  // Part of what processes of different builds agree on: a change here is a change of format.
  static_assert(type_fingerprint<Named>() ==
                Fnv1a().add("test.Named").add_number(8).add_number(8).value());
  static_assert(type_fingerprint<int>() ==
                Fnv1a().add("signed").add_number(4).add_number(4).value());
}

TEST(TypeFingerprint, DependsOnNameSizeAndAlignmentAndNothingElse) {
  EXPECT_EQ(type_fingerprint<Named>(), type_fingerprint<NamedAlike>());
  EXPECT_NE(type_fingerprint<Named>(), type_fingerprint<NamedAlikeAndLarger>());
  EXPECT_NE(type_fingerprint<Named>(), type_fingerprint<OtherName>());
  EXPECT_NE(type_fingerprint<Named>(), type_fingerprint<Nameless>());
  EXPECT_EQ(type_fingerprint<Nameless>(), type_fingerprint<NamelessAlike>()) << "as documented";
  EXPECT_NE(type_fingerprint<Nameless>(), type_fingerprint<Aligned>());
}

TEST(TypeFingerprint, TellsTheArithmeticTypesApart) {
  const std::set<std::uint64_t> all = {
      type_fingerprint<bool>(),          type_fingerprint<std::int8_t>(),
      type_fingerprint<std::uint8_t>(),  type_fingerprint<std::int16_t>(),
      type_fingerprint<std::uint16_t>(), type_fingerprint<std::int32_t>(),
      type_fingerprint<std::uint32_t>(), type_fingerprint<std::int64_t>(),
      type_fingerprint<std::uint64_t>(), type_fingerprint<float>(),
      type_fingerprint<double>(),
  };
  EXPECT_EQ(all.size(), 11U);
}

TEST(TypeFingerprint, IsTheSameForTypesThatTheStandardMakesTheSame) {
  EXPECT_EQ(type_fingerprint<long>(), type_fingerprint<long long>()) << "both signed, 8 bytes";
  EXPECT_EQ(type_fingerprint<std::size_t>(), type_fingerprint<std::uint64_t>());
}

TEST(TypeFingerprint, OfATypeThatIsNamedFromOutside) {
  static_assert(type_fingerprint<Color>() ==
                Fnv1a().add("test.Color").add_number(1).add_number(1).value());
  EXPECT_EQ(type_text<Color>(), "test.Color");
}

TEST(TypeFingerprint, OfArrays) {
  using Ten = std::array<Named, 10>;
  EXPECT_EQ(type_fingerprint<Ten>(), type_fingerprint<Named[10]>());
  EXPECT_NE(type_fingerprint<Ten>(), (type_fingerprint<std::array<Named, 9>>()));
  EXPECT_NE(type_fingerprint<Ten>(), (type_fingerprint<std::array<OtherName, 10>>()));
  EXPECT_NE(type_fingerprint<Ten>(), (type_fingerprint<std::array<std::array<Named, 5>, 2>>()));
  EXPECT_EQ(type_text<Ten>(), "test.Named[10]");
  EXPECT_EQ(type_text<double[2][3]>(), "float64[3][2]");
}

TEST(TypeFingerprint, NamedTypesAreThoseThatCanNotBeTakenForOthers) {
  static_assert(NamedType<Named> && NamedType<NamedAlike> && NamedType<int> && NamedType<bool>);
  static_assert(NamedType<std::byte> && NamedType<Color> && NamedType<std::array<Named, 2>>);
  static_assert(!NamedType<Nameless> && !NamedType<std::array<Nameless, 2>> && !NamedType<void*>);
}

TEST(LayoutFingerprint, OfATypeThatListsNoMembersIsItsTypes) {
  EXPECT_EQ(layout_fingerprint<Named>(), type_fingerprint<Named>());
}

TEST(LayoutFingerprint, DependsOnTypesAndPlacesOfListedMembers) {
  EXPECT_EQ(type_fingerprint<Pair>(), type_fingerprint<SwappedPair>());
  EXPECT_NE(layout_fingerprint<Pair>(), layout_fingerprint<SwappedPair>());
  EXPECT_NE(layout_fingerprint<Pair>(), layout_fingerprint<SignedPair>());
  const std::uint64_t member = type_fingerprint<std::uint32_t>();
  EXPECT_EQ(layout_fingerprint<Pair>(), Fnv1a()
                                            .add_number(type_fingerprint<Pair>())
                                            .add_number(member)
                                            .add_number(0)
                                            .add_number(member)
                                            .add_number(4)
                                            .value());
}

}  // namespace
}  // namespace sluice::tests
