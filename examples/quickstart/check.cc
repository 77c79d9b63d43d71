// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/check.h"

#include <span>
#include <vector>

namespace quickstart {
namespace {

constexpr std::size_t kPieceBytes = 100'000;

/// What the comment in count.h says, once more.
bool is_in_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 128;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

void PlainCounter::add(std::string_view piece) {
  for (const char c : piece) {
    if (is_in_word(c)) {
      word_ += lower(c);
      if (word_.size() == kLongestWord) end_word();
    } else {
      end_word();
    }
    line_open_ = c != '\n';
    if (c == '\n') ++lines_;
  }
  bytes_ += piece.size();
}

void PlainCounter::end_word() {
  if (word_.empty()) return;
  ++words_;
  ++table_[word_];
  word_.clear();
}

void PlainCounter::end_file() {
  end_word();
  if (line_open_) ++lines_;
  line_open_ = false;
}

bool PlainCounter::agrees_with(const Counts& counts) const {
  if (counts.lines != lines_ || counts.bytes != bytes_ || counts.words != words_ ||
      counts.table.size() != table_.size()) {
    return false;
  }
  for (std::size_t i = 0; i < counts.table.size(); ++i) {
    const auto [word, count] = counts.table[i];
    const auto found = table_.find(std::string(word));
    if (found == table_.end() || found->second != count) return false;
  }
  return true;
}

PlainCounter count_plainly(const Input& input) {
  PlainCounter counter;
  std::vector<char> room(kPieceBytes);
  InputReader reader(input);
  while (reader.next_file()) {
    while (const std::size_t n = reader.read(room)) counter.add({room.data(), n});
    counter.end_file();
  }
  return counter;
}

}  // namespace quickstart
