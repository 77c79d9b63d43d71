// SPDX-License-Identifier: Apache-2.0
//
// Items whose tearing shows, and the list of their numbers that a survivor has found.

#ifndef SLUICE_TESTS_CRASH_ITEM_H_
#define SLUICE_TESTS_CRASH_ITEM_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace sluice::tests {

struct Item {
  std::uint64_t number, inverse, triple;

  static constexpr Item of(std::uint64_t n) { return {n, ~n, n * 3}; }
  [[nodiscard]] constexpr bool is_whole() const {
    return inverse == ~number && triple == number * 3;
  }
};

using Numbers = std::vector<std::uint64_t>;

inline std::string to_text(const Numbers& numbers) {
  std::string text = "[";
  for (const std::uint64_t n : numbers) text += (text.size() > 1 ? " " : "") + std::to_string(n);
  return text + "]";
}

/// Empty if `found` is one of `allowed`.
inline std::string unless_one_of(std::initializer_list<Numbers> allowed, const Numbers& found) {
  std::string text = "found " + to_text(found) + ", allowed";
  for (const Numbers& numbers : allowed) {
    if (numbers == found) return "";
    text += " " + to_text(numbers);
  }
  return text;
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_CRASH_ITEM_H_
