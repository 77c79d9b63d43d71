// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/fingerprint.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
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

}  // namespace
}  // namespace sluice::tests
