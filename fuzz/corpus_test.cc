// SPDX-License-Identifier: Apache-2.0
//
// Replays the corpus of the target that it is linked with, and a fixed set of random mutations of
// it, as an ordinary test. Round n always does the same, so a crash is found again under a
// debugger.

#include "sluice/fuzz/corpus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;
using Random = std::mt19937_64;

constexpr std::size_t kRounds = 4'000;

std::vector<Bytes> read_corpus() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(sluice::fuzz::kCorpus)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());  // the same order everywhere
  std::vector<Bytes> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

/// Numbers at which comparisons change their mind, for a place that holds eight bytes.
std::uint64_t interesting(Random& random) {
  switch (random() % 4) {
    case 0:
      return random();
    case 1:
      return random() % 4096;
    case 2:
      return std::uint64_t{1} << random() % 64;
    default:
      return ~(std::uint64_t{1} << random() % 64) >> random() % 64;
  }
}

void mutate_once(Bytes& bytes, Random& random) {
  if (bytes.empty()) bytes.push_back(0);
  const std::size_t at = random() % bytes.size();
  switch (random() % 6) {
    case 0:
      bytes[at] = static_cast<std::uint8_t>(random());
      break;
    case 1:
      bytes[at] ^= static_cast<std::uint8_t>(1U << random() % 8);
      break;
    case 2:
      bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), random() % 16, 0);
      break;
    case 3:
      if (random() % 8 == 0) bytes.resize(at);
      break;
    default: {
      const std::uint64_t word = interesting(random);
      const std::size_t place = at / 8 * 8 + random() % 8;
      if (place + sizeof word > bytes.size()) bytes.resize(place + sizeof word);
      for (std::size_t i = 0; i < sizeof word; ++i) {
        bytes[place + i] = static_cast<std::uint8_t>(word >> 8 * i);
      }
    }
  }
}

TEST(Corpus, IsSurvived) {
  const std::vector<Bytes> corpus = read_corpus();
  ASSERT_GE(corpus.size(), 10U) << "the corpus was not found";
  for (const Bytes& bytes : corpus) LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

TEST(Corpus, EachInputCutShortIsSurvived) {
  for (const Bytes& bytes : read_corpus()) {
    for (std::size_t size = 0; size < bytes.size(); size += bytes.size() / 32 + 1) {
      LLVMFuzzerTestOneInput(bytes.data(), size);
    }
  }
}

TEST(Corpus, MutationsOfItAreSurvived) {
  const std::vector<Bytes> corpus = read_corpus();
  ASSERT_FALSE(corpus.empty());
  for (std::size_t round = 0; round < kRounds; ++round) {
    Random random(round);
    Bytes bytes = corpus[random() % corpus.size()];
    for (std::size_t n = random() % 8 + 1; n > 0; --n) mutate_once(bytes, random);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
}

}  // namespace
