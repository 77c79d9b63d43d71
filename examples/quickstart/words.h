// SPDX-License-Identifier: Apache-2.0
//
// WordTable: how often each word was seen. A flat hash table over words kept one after the other in
// one string, so that adding a known word allocates nothing and clearing keeps the memory.
//
//   WordTable table;
//   table.add("sluice", 2);
//   for (const WordCount& w : table.most_frequent(10)) std::cout << w.word << ' ' << w.count;
//
// Nothing here is shared: each process, and each thread, has tables of its own.

#ifndef SLUICE_EXAMPLES_QUICKSTART_WORDS_H_
#define SLUICE_EXAMPLES_QUICKSTART_WORDS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quickstart {

/// A word and how often it was seen. The text is the table's: valid until the table changes.
struct WordCount {
  std::string_view word;
  std::uint64_t count;
};

class WordTable {
 public:
  WordTable();

  /// Adds `count` to the word's number.
  void add(std::string_view word, std::uint64_t count = 1) { add_hashed(word, hash(word), count); }

  /// As add(), for who has computed hash(word) on the way. In the header, since the whole service
  /// spends most of its time here.
  void add_hashed(std::string_view word, std::uint64_t hash, std::uint64_t count) {
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = first_slot(hash);
    for (; slots_[slot].entry != 0; slot = (slot + 1) & mask) {
      if (slots_[slot].hash != half_of(hash)) continue;
      Entry& entry = entries_[slots_[slot].entry - 1];
      if (entry.hash == hash && text_of(entry) == word) {
        entry.count += count;
        return;
      }
    }
    insert(word, hash, count, slot);
  }

  /// The hash of a word, one byte at a time: begin with kHashOfNothing and extend.
  static constexpr std::uint64_t kHashOfNothing = 0xcbf29ce484222325;
  static constexpr std::uint64_t extend(std::uint64_t hash, unsigned char byte) {
    return (hash ^ byte) * 0x100000001b3;  // FNV-1a
  }
  static std::uint64_t hash(std::string_view word);

  /// Adds all of `other`.
  void merge(const WordTable& other);

  /// Forgets the words and keeps the memory.
  void clear();

  /// How many different words there are.
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  /// The i-th word, in the order of their first appearance.
  [[nodiscard]] WordCount operator[](std::size_t i) const;

  /// The n words seen most often, the most frequent first, equals in alphabetical order.
  [[nodiscard]] std::vector<WordCount> most_frequent(std::size_t n) const;

 private:
  struct Entry {
    std::uint64_t hash;
    std::uint64_t count;
    std::uint64_t offset;  // into text_
    std::uint64_t length;
  };

  /// In a slot: the number of an entry plus one (0 is a free slot), and half of the entry's hash,
  /// which spares most looks at entries of other words.
  struct Slot {
    std::uint32_t entry;
    std::uint32_t hash;
  };

  /// The hash's high half takes part in choosing the slot: FNV's low bits are its weakest.
  [[nodiscard]] std::size_t first_slot(std::uint64_t hash) const {
    return (hash ^ half_of(hash)) & (slots_.size() - 1);
  }
  static constexpr std::uint32_t half_of(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash >> 32);
  }

  [[nodiscard]] std::string_view text_of(const Entry& entry) const {
    return {text_.data() + entry.offset, entry.length};
  }
  void insert(std::string_view word, std::uint64_t hash, std::uint64_t count, std::size_t slot);
  void grow();

  std::string text_;
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;  // a power of two of them, at most half in use
};

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_WORDS_H_
