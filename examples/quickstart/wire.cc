// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/wire.h"

#include <stdexcept>

namespace quickstart {
namespace {

constexpr std::size_t kMostCountBytes = 10;  // of 64 bits, in sevens
static_assert(kLongestWord < 256, "the length of a word is one byte");

char* put(std::uint64_t count, char* to) {
  for (; count >= 128; count >>= 7) *to++ = static_cast<char>(count | 128);
  *to++ = static_cast<char>(count);
  return to;
}

/// Takes a count from the front of `from`; 0, which is nobody's count, if there is none.
std::uint64_t get(std::string_view& from) {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < from.size() && i < kMostCountBytes; ++i) {
    const auto byte = static_cast<unsigned char>(from[i]);
    count |= std::uint64_t{byte & 127U} << (7 * i);
    if (byte < 128) {
      from.remove_prefix(i + 1);
      return count;
    }
  }
  return 0;
}

}  // namespace

void encode(const Counts& counts, Result& result) {
  result.lines = counts.lines;
  result.bytes = counts.bytes;
  result.words = counts.words;
  char* to = result.body;
  const char* const end = to + sizeof result.body;
  for (std::size_t i = 0; i < counts.table.size(); ++i) {
    const auto [word, count] = counts.table[i];
    if (static_cast<std::size_t>(end - to) < 1 + kMostCountBytes + word.size()) {
      throw std::logic_error("a result is larger than kResultBytes");
    }
    *to++ = static_cast<char>(word.size());
    to = put(count, to);
    to += word.copy(to, word.size());
  }
  result.size = static_cast<std::uint32_t>(to - result.body);
}

bool decode(const Result& result, Counts& counts) {
  counts.lines += result.lines;
  counts.bytes += result.bytes;
  counts.words += result.words;
  std::string_view left(result.body, result.size);
  while (!left.empty()) {
    const std::size_t length = static_cast<unsigned char>(left.front());
    left.remove_prefix(1);
    const std::uint64_t count = get(left);
    if (count == 0 || left.size() < length) return false;
    counts.table.add(left.substr(0, length), count);
    left.remove_prefix(length);
  }
  return true;
}

}  // namespace quickstart
