// SPDX-License-Identifier: Apache-2.0
//
// The dictionaries can be read as libFuzzer reads them, and have the words in them that the library
// writes today.

#include "sluice/fuzz/dictionaries.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::fuzz {
namespace {

constexpr const char* kDirectory = "fuzz/dictionaries";

/// The bytes that a text between quotes stands for: \\, \", \xNN, or as it is.
std::optional<std::string> unescaped(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    if (text[0] != '\\') {
      if (text[0] == '"' || std::isprint(static_cast<unsigned char>(text[0])) == 0) return {};
      bytes += text[0];
      text.remove_prefix(1);
    } else if (text.size() >= 2 && (text[1] == '\\' || text[1] == '"')) {
      bytes += text[1];
      text.remove_prefix(2);
    } else {
      if (text.size() < 4 || text[1] != 'x') return {};
      const std::string digits(text.substr(2, 2));
      std::size_t read = 0;
      const int byte = std::stoi(digits, &read, 16);
      if (read != 2) return {};
      bytes += static_cast<char>(byte);
      text.remove_prefix(4);
    }
  }
  return bytes;
}

/// Empty if a line is none that libFuzzer takes.
std::optional<std::vector<DictionaryWord>> parsed(std::istream& file) {
  std::vector<DictionaryWord> words;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t quote = line.find("=\"");
    if (quote == std::string::npos || line.back() != '"' || line.size() < quote + 3) return {};
    const auto bytes = unescaped(std::string_view(line).substr(quote + 2, line.size() - quote - 3));
    if (!bytes || bytes->empty()) return {};
    words.push_back({line.substr(0, quote), *bytes});
  }
  return words;
}

TEST(Dictionaries, HaveTheWordsThatTheLibraryWrites) {
  for (const Dictionary& dictionary : all_dictionaries()) {
    std::ifstream file(std::string(kDirectory) + "/" + dictionary.target + ".dict");
    const auto words = parsed(file);
    ASSERT_TRUE(words) << dictionary.target;
    EXPECT_TRUE(*words == dictionary.words)
        << dictionary.target << ".dict is old: ./bazelw run //fuzz:make_dictionaries -- "
        << "$PWD/fuzz/dictionaries makes\n"
        << text_of(dictionary);
  }
}

TEST(Dictionaries, AreAllThatThereAre) {
  std::set<std::string> known;
  for (const Dictionary& dictionary : all_dictionaries()) known.insert(dictionary.target + ".dict");
  std::set<std::string> there;
  for (const auto& entry : std::filesystem::directory_iterator(kDirectory)) {
    there.insert(entry.path().filename());
  }
  EXPECT_EQ(there, known);
}

TEST(Dictionaries, EachByteComesBack) {
  Dictionary all = {"all", {{"bytes", ""}}};
  for (int byte = 0; byte < 256; ++byte) all.words[0].bytes += static_cast<char>(byte);
  std::istringstream text(text_of(all));
  const auto words = parsed(text);
  ASSERT_TRUE(words);
  EXPECT_TRUE(*words == all.words);
}

}  // namespace
}  // namespace sluice::fuzz
