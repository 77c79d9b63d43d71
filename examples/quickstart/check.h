// SPDX-License-Identifier: Apache-2.0
//
// The same counts by the plainest means: one process, no pipe, no batch, none of the service's code
// for words. Slow; what the service's totals are checked against.

#ifndef SLUICE_EXAMPLES_QUICKSTART_CHECK_H_
#define SLUICE_EXAMPLES_QUICKSTART_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "sluice/examples/quickstart/count.h"
#include "sluice/examples/quickstart/input.h"

namespace quickstart {

class PlainCounter {
 public:
  /// Counts the next piece of the current file, which may end anywhere.
  void add(std::string_view piece);
  void end_file();

  /// Whether all totals, and each word's, are those of `counts`.
  [[nodiscard]] bool agrees_with(const Counts& counts) const;

  [[nodiscard]] std::uint64_t lines() const { return lines_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t words() const { return words_; }
  [[nodiscard]] std::size_t different_words() const { return table_.size(); }

 private:
  void end_word();

  std::uint64_t lines_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t words_ = 0;
  std::unordered_map<std::string, std::uint64_t> table_;
  std::string word_;        // that has begun
  bool line_open_ = false;  // something follows the last newline
};

/// Counts the whole input, with its repeats. Throws InputError.
PlainCounter count_plainly(const Input& input);

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_CHECK_H_
