// SPDX-License-Identifier: Apache-2.0
//
// The dictionaries of the fuzz targets that are told to use one: words that bytes of chance do not
// hit upon. They are taken from what the library itself writes, so that they are right when that
// changes; dictionaries_test.cc holds the files to them.

#ifndef SLUICE_FUZZ_DICTIONARIES_H_
#define SLUICE_FUZZ_DICTIONARIES_H_

#include <string>
#include <vector>

namespace sluice::fuzz {

struct DictionaryWord {
  std::string name;
  std::string bytes;
  bool operator==(const DictionaryWord&) const = default;
};

struct Dictionary {
  std::string target;  ///< whose it is: attach for attach_fuzz and attach.dict
  std::vector<DictionaryWord> words;
};

[[nodiscard]] std::vector<Dictionary> all_dictionaries();

/// As libFuzzer reads it: a line `name="bytes"` for each word.
[[nodiscard]] std::string text_of(const Dictionary& dictionary);

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_DICTIONARIES_H_
