// SPDX-License-Identifier: Apache-2.0

#include "sluice/examples/quickstart/count.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "sluice/examples/quickstart/batches.h"
#include "sluice/examples/quickstart/check.h"
#include "sluice/examples/quickstart/wire.h"
#include "sluice/examples/quickstart/words.h"

namespace quickstart {
namespace {

std::uint64_t number_of(std::string_view word, const Counts& counts) {
  for (std::size_t i = 0; i < counts.table.size(); ++i) {
    if (counts.table[i].word == word) return counts.table[i].count;
  }
  return 0;
}

TEST(Count, WordsAreRunsInLowerCase) {
  Counts counts;
  count("The cat, the DOG2 and\nthe caf\xc3\xa9\n", counts);
  EXPECT_EQ(counts.lines, 2U);
  EXPECT_EQ(counts.bytes, 32U);
  EXPECT_EQ(counts.words, 7U);
  EXPECT_EQ(counts.table.size(), 5U);
  EXPECT_EQ(number_of("the", counts), 3U);
  EXPECT_EQ(number_of("dog2", counts), 1U);
  EXPECT_EQ(number_of("caf\xc3\xa9", counts), 1U);
}

TEST(Count, NothingAndNulBytes) {
  Counts counts;
  count("", counts);
  count(std::string_view("a\0b\0\0", 5), counts);
  EXPECT_EQ(counts.lines, 0U);
  EXPECT_EQ(counts.words, 2U);
}

TEST(Count, LongRunsAreCut) {
  Counts counts;
  count(std::string(2 * kLongestWord + 1, 'x') + " y", counts);
  EXPECT_EQ(counts.words, 4U);
  EXPECT_EQ(number_of(std::string(kLongestWord, 'x'), counts), 2U);
  EXPECT_EQ(number_of("x", counts), 1U);
}

TEST(WordTable, GrowsMergesAndClears) {
  WordTable table;
  WordTable other;
  for (int i = 0; i < 20'000; ++i) table.add("w" + std::to_string(i));
  other.add("w7", 41);
  other.add("new", 3);
  table.merge(other);
  EXPECT_EQ(table.size(), 20'001U);
  const auto top = table.most_frequent(3);
  ASSERT_EQ(top.size(), 3U);
  EXPECT_EQ(top[0].word, "w7");
  EXPECT_EQ(top[0].count, 42U);
  EXPECT_EQ(top[1].word, "new");
  EXPECT_EQ(top[2].word, "w0");  // of equals the first in the alphabet
  table.clear();
  EXPECT_EQ(table.size(), 0U);
  table.add("w7");
  EXPECT_EQ(table[0].count, 1U);
}

/// Random bytes of few kinds, so that words repeat, with runs that are longer than a batch.
std::string random_text(std::mt19937& random, std::size_t size) {
  constexpr std::string_view kBytes = "aAb1\xc3 \n\0,z";
  std::string text;
  while (text.size() < size) {
    const bool run = random() % 1000 == 0;
    text.append(run ? random() % (2 * kBatchBytes) : 1, kBytes[random() % kBytes.size()]);
  }
  text.resize(size);
  return text;
}

/// What becomes of a text on its way through the service, without the processes.
Counts count_in_batches(std::string_view text) {
  Counts sum;
  const auto result = std::make_unique<Result>();
  const bool open_line = !text.empty() && text.back() != '\n';
  while (!text.empty()) {
    const bool rest = text.size() <= kBatchBytes;
    const std::size_t size = rest ? text.size() : place_to_cut(text.substr(0, kBatchBytes));
    Counts counts;
    count(text.substr(0, size), counts);
    encode(counts, *result);
    EXPECT_TRUE(decode(*result, sum));
    text.remove_prefix(size);
  }
  sum.lines += open_line;
  return sum;
}

TEST(Count, AgreesWithThePlainCountWhereverItIsCut) {
  std::mt19937 random(20'240'501);
  for (int i = 0; i < 200; ++i) {
    const std::string text = random_text(random, random() % (5 * kBatchBytes));
    PlainCounter plain;
    const std::size_t middle = text.empty() ? 0 : random() % text.size();
    plain.add(std::string_view(text).substr(0, middle));
    plain.add(std::string_view(text).substr(middle));
    plain.end_file();
    ASSERT_TRUE(plain.agrees_with(count_in_batches(text))) << "text " << i;
  }
}

TEST(Check, NoticesEveryDifference) {
  PlainCounter plain;
  plain.add("a b a\n");
  Counts counts;
  count("a b a\n", counts);
  EXPECT_TRUE(plain.agrees_with(counts));
  Counts other;
  count("a b b\n", other);
  EXPECT_FALSE(plain.agrees_with(other));
  counts.lines += 1;
  EXPECT_FALSE(plain.agrees_with(counts));
}

TEST(Wire, TheWorstBatchFitsIntoAResult) {
  // Different words of one, then two, then three bytes: the most bytes of result per byte of batch.
  std::string text;
  for (unsigned i = 0; text.size() < kBatchBytes - 8; ++i) {
    for (unsigned rest = i; rest > 0 || text.empty(); rest /= 128) {
      text += static_cast<char>(128 + rest % 128);
    }
    text += ' ';
  }
  Counts counts;
  count(text, counts);
  const auto result = std::make_unique<Result>();
  encode(counts, *result);
  Counts back;
  EXPECT_TRUE(decode(*result, back));
  EXPECT_EQ(back.words, counts.words);
  EXPECT_EQ(back.table.size(), counts.table.size());
  EXPECT_LE(result->size, 2 * text.size());
}

TEST(Wire, NonsenseIsRefused) {
  Counts counts;
  count("some words", counts);
  const auto result = std::make_unique<Result>();
  encode(counts, *result);
  result->size -= 1;
  EXPECT_FALSE(decode(*result, counts));
  result->body[0] = static_cast<char>(255);
  EXPECT_FALSE(decode(*result, counts));
}

}  // namespace
}  // namespace quickstart
