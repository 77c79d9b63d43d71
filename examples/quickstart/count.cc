// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/count.h"

namespace quickstart {

void count(std::string_view text, Counts& counts) {
  std::array<char, kLongestWord> word;
  std::size_t length = 0;
  std::uint64_t hash = WordTable::kHashOfNothing;
  std::uint64_t lines = 0;
  const auto end_word = [&] {
    counts.table.add_hashed(std::string_view(word.data(), length), hash, 1);
    ++counts.words;
    length = 0;
    hash = WordTable::kHashOfNothing;
  };
  for (const char c : text) {
    const unsigned char byte = kWordBytes[static_cast<unsigned char>(c)];
    if (byte == 0) {
      if (length != 0) end_word();
      lines += c == '\n';
      continue;
    }
    word[length++] = static_cast<char>(byte);
    hash = WordTable::extend(hash, byte);
    if (length == kLongestWord) end_word();
  }
  if (length != 0) end_word();
  counts.lines += lines;
  counts.bytes += text.size();
}

}  // namespace quickstart
