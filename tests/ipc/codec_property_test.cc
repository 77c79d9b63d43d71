// SPDX-License-Identifier: Apache-2.0
//
// Arbitrary values come back as they were; bytes that were cut short or changed are refused or give
// some value, and are never followed out of their bounds.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/tests/ipc/codec_types.h"

namespace rc {

using sluice::tests::Colour;
using sluice::tests::Everything;
using sluice::tests::Nothing;
using sluice::tests::Person;
using sluice::tests::Tree;

/// A part of a value; the standard types that rapidcheck has no generator for are made of others.
template <class T>
T part() {
  return *gen::arbitrary<T>();
}
template <>
Colour part() {
  return static_cast<Colour>(*gen::inRange(0, 3));
}
template <>
std::optional<std::int32_t> part() {
  if (part<bool>()) return part<std::int32_t>();
  return std::nullopt;
}
template <>
Person part() {
  return {part<std::string>(), part<std::vector<std::string>>(),
          part<std::optional<std::int32_t>>()};
}
Tree tree(int depth) {
  Tree root{part<std::uint16_t>(), {}};
  for (int n = depth == 0 ? 0 : *gen::inRange(0, 4); n > 0; --n) {
    root.branches.push_back(tree(depth - 1));
  }
  return root;
}

template <>
struct Arbitrary<Person> {
  static Gen<Person> arbitrary() {
    return gen::exec([] { return part<Person>(); });
  }
};

template <>
struct Arbitrary<Everything> {
  static Gen<Everything> arbitrary() {
    // Of small parts: there are many of them.
    return gen::resize(12, gen::exec([] {
                         Everything e;
                         e.yes = part<bool>();
                         e.number = part<std::int64_t>();
                         e.real = part<double>();
                         e.colour = part<Colour>();
                         e.text = part<std::string>();
                         for (const auto c : part<std::vector<std::uint16_t>>())
                           e.wide += static_cast<char16_t>(c);
                         e.numbers = part<std::vector<std::uint32_t>>();
                         e.bits = part<std::vector<bool>>();
                         e.words = part<std::deque<std::string>>();
                         e.pairs = part<std::list<std::pair<std::uint8_t, std::string>>>();
                         e.names = part<std::set<std::string>>();
                         e.many = part<std::multiset<std::int16_t>>();
                         e.hashes = part<std::unordered_set<std::uint64_t>>();
                         e.people = part<std::map<std::string, std::vector<Person>>>();
                         for (const auto key : part<std::vector<std::uint32_t>>()) {
                           if (part<bool>())
                             e.lookup[key] = part<std::string>();
                           else
                             e.lookup[key] = std::nullopt;
                         }
                         e.multi = part<std::multimap<std::uint8_t, std::uint8_t>>();
                         e.two = part<std::array<std::string, 2>>();
                         e.three = part<std::array<std::uint16_t, 3>>();
                         switch (*gen::inRange(0, 4)) {
                           case 1:
                             e.any = part<std::int32_t>();
                             break;
                           case 2:
                             e.any = part<std::string>();
                             break;
                           case 3:
                             e.any = part<Person>();
                             break;
                           default:
                             break;
                         }
                         std::get<0>(e.tuple) = part<std::uint8_t>();
                         std::get<1>(e.tuple) = part<std::string>();
                         e.nothings.resize(part<std::uint8_t>());
                         e.tree = tree(3);
                         return e;
                       }));
  }
};

}  // namespace rc

namespace sluice::tests {
namespace {

using Bytes = std::vector<std::byte>;

/// Behind its end lies memory of somebody else, which AddressSanitizer watches.
template <class T>
Status decode_exactly(std::span<const std::byte> bytes, T& value) {
  const auto copy = std::make_unique<std::byte[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.get());
  return decode(std::span<const std::byte>(copy.get(), bytes.size()), value);
}

RC_GTEST_PROP(CodecProperty, AnyValueComesBackAsItWas, (const Everything& value)) {
  const Bytes bytes = encode(value);
  RC_ASSERT(bytes.size() == encoded_size(value));
  Bytes grown;
  encode(value, grown);
  RC_ASSERT(grown == bytes);
  Everything back;
  RC_ASSERT(decode_exactly(bytes, back) == Status::ok);
  RC_ASSERT(back == value || std::isnan(value.real));
}

RC_GTEST_PROP(CodecProperty, BytesCutShortAreRefused, (const Everything& value)) {
  const Bytes bytes = encode(value);
  const auto size = *rc::gen::inRange<std::size_t>(0, bytes.size());
  Everything back;
  RC_ASSERT(decode_exactly(std::span(bytes).first(size), back) == Status::corrupt);
}

RC_GTEST_PROP(CodecProperty, ChangedBytesGiveAValueOrAreRefused, (const Everything& value)) {
  Bytes bytes = encode(value);
  for (int n = *rc::gen::inRange(1, 8); n > 0; --n) {
    bytes[*rc::gen::inRange<std::size_t>(0, bytes.size())] =
        static_cast<std::byte>(*rc::gen::arbitrary<std::uint8_t>());
  }
  Everything back;
  if (decode_exactly(bytes, back) != Status::ok) return;
  // What was accepted is a value like any other; hashed and sorted containers put it in order.
  RC_ASSERT(encode(back).size() == bytes.size());
}

RC_GTEST_PROP(CodecProperty, ArbitraryBytesAreSurvived,
              (const std::vector<std::uint8_t>& numbers)) {
  const auto view = std::as_bytes(std::span(numbers));
  const Bytes bytes(view.begin(), view.end());
  Everything everything;
  static_cast<void>(decode_exactly(bytes, everything));
  Tree tree;
  static_cast<void>(decode_exactly(bytes, tree));
  std::vector<Person> people;
  if (decode_exactly(bytes, people) == Status::ok) RC_ASSERT(encode(people) == bytes);
}

}  // namespace
}  // namespace sluice::tests
