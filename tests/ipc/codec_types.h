// SPDX-License-Identifier: Apache-2.0
//
// What the tests and the fuzzer of the codec send: one type for each shape, and classes of a
// user's.

#ifndef SLUICE_TESTS_IPC_CODEC_TYPES_H_
#define SLUICE_TESTS_IPC_CODEC_TYPES_H_

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::tests {

/// A class with strings and containers, and a method; the one line it needs is the last.
struct Person {
  std::string name;
  std::vector<std::string> nicknames;
  std::optional<std::int32_t> age;
  [[nodiscard]] std::string greeting() const { return "Hello, " + name; }
  bool operator==(const Person&) const = default;
  auto sluice_members() { return std::tie(name, nicknames, age); }
};

/// Holds values of its own type.
struct Tree {
  std::uint16_t label = 0;
  std::vector<Tree> branches;
  bool operator==(const Tree&) const = default;
  auto sluice_members() { return std::tie(label, branches); }
};

enum class Colour : std::uint8_t { red, green, blue };

struct Nothing {
  bool operator==(const Nothing&) const = default;
  auto sluice_members() { return std::tie(); }
};

/// Every shape once or twice.
struct Everything {
  bool yes = false;
  std::int64_t number = 0;
  double real = 0;
  Colour colour = Colour::red;
  std::string text;
  std::u16string wide;
  std::vector<std::uint32_t> numbers;
  std::vector<bool> bits;
  std::deque<std::string> words;
  std::list<std::pair<std::uint8_t, std::string>> pairs;
  std::set<std::string> names;
  std::multiset<std::int16_t> many;
  std::unordered_set<std::uint64_t> hashes;
  std::map<std::string, std::vector<Person>> people;
  std::unordered_map<std::uint32_t, std::optional<std::string>> lookup;
  std::multimap<std::uint8_t, std::uint8_t> multi;
  std::array<std::string, 2> two;
  std::array<std::uint16_t, 3> three = {};
  std::variant<std::monostate, std::int32_t, std::string, Person> any;
  std::tuple<std::uint8_t, std::string, std::tuple<>> tuple;
  std::vector<Nothing> nothings;
  Tree tree;
  bool operator==(const Everything&) const = default;
  auto sluice_members() {
    return std::tie(yes, number, real, colour, text, wide, numbers, bits, words, pairs, names, many,
                    hashes, people, lookup, multi, two, three, any, tuple, nothings, tree);
  }
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_IPC_CODEC_TYPES_H_
