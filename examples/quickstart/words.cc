// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/words.h"

#include <algorithm>

namespace quickstart {
namespace {

constexpr std::size_t kFirstSlots = 4096;

}  // namespace

WordTable::WordTable() : slots_(kFirstSlots) {}

std::uint64_t WordTable::hash(std::string_view word) {
  std::uint64_t hash = kHashOfNothing;
  for (const char c : word) hash = extend(hash, static_cast<unsigned char>(c));
  return hash;
}

void WordTable::insert(std::string_view word, std::uint64_t hash, std::uint64_t count,
                       std::size_t slot) {
  entries_.push_back({hash, count, text_.size(), word.size()});
  text_ += word;
  slots_[slot] = {static_cast<std::uint32_t>(entries_.size()), half_of(hash)};
  if (2 * entries_.size() > slots_.size()) grow();
}

void WordTable::grow() {
  slots_.assign(2 * slots_.size(), Slot{0, 0});
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    std::size_t slot = first_slot(entries_[i].hash);
    while (slots_[slot].entry != 0) slot = (slot + 1) & mask;
    slots_[slot] = {static_cast<std::uint32_t>(i + 1), half_of(entries_[i].hash)};
  }
}

void WordTable::merge(const WordTable& other) {
  for (const Entry& entry : other.entries_) {
    add_hashed(other.text_of(entry), entry.hash, entry.count);
  }
}

void WordTable::clear() {
  text_.clear();
  entries_.clear();
  std::fill(slots_.begin(), slots_.end(), Slot{0, 0});
}

WordCount WordTable::operator[](std::size_t i) const {
  return {text_of(entries_[i]), entries_[i].count};
}

std::vector<WordCount> WordTable::most_frequent(std::size_t n) const {
  std::vector<WordCount> words;
  words.reserve(size());
  for (std::size_t i = 0; i < size(); ++i) words.push_back((*this)[i]);
  n = std::min(n, words.size());
  const auto middle = words.begin() + static_cast<std::ptrdiff_t>(n);
  std::partial_sort(words.begin(), middle, words.end(), [](const auto& a, const auto& b) {
    return a.count != b.count ? a.count > b.count : a.word < b.word;
  });
  words.resize(n);
  return words;
}

}  // namespace quickstart
