// SPDX-License-Identifier: Apache-2.0
//
// What the service counts, and the fast way to count it: one pass over a text.
//
//   Counts counts;
//   count(text, counts);          // adds what is in `text`
//
// A word is a run of ASCII letters, ASCII digits and bytes from 128 up (so that words in UTF-8 stay
// whole), as long as it goes; ASCII letters are counted in lower case. A run of more than
// kLongestWord bytes, as binary files have them, counts as several words of that length and the
// rest. A line ends at '\n'; what follows a file's last '\n' is a line too.

#ifndef SLUICE_EXAMPLES_QUICKSTART_COUNT_H_
#define SLUICE_EXAMPLES_QUICKSTART_COUNT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sluice/examples/quickstart/words.h"

namespace quickstart {

inline constexpr std::size_t kLongestWord = 64;

struct Counts {
  std::uint64_t lines = 0;
  std::uint64_t bytes = 0;
  std::uint64_t words = 0;
  WordTable table;
};

/// For each byte value: the byte as it is counted, or 0 if no word has it.
inline constexpr std::array<unsigned char, 256> kWordBytes = [] {
  std::array<unsigned char, 256> bytes = {};
  for (unsigned i = 0; i < 256; ++i) {
    const bool upper = i >= 'A' && i <= 'Z';
    const bool other = (i >= 'a' && i <= 'z') || (i >= '0' && i <= '9') || i >= 128;
    if (upper || other) bytes[i] = static_cast<unsigned char>(upper ? i - 'A' + 'a' : i);
  }
  return bytes;
}();

inline bool is_word_byte(char c) { return kWordBytes[static_cast<unsigned char>(c)] != 0; }

/// Adds the text's bytes, words and newlines to `counts`. A word that begins in this text must end
/// in it, unless it is cut at a multiple of kLongestWord bytes.
void count(std::string_view text, Counts& counts);

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_COUNT_H_
