// SPDX-License-Identifier: Apache-2.0
//
// Replays the corpus of codec_fuzz.cc, and a fixed set of random mutations of it, as an ordinary
// test. Round n always does the same, so a crash is found again under a debugger.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kRounds = 40'000;

std::vector<Bytes> read_corpus() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator("fuzz/corpus/codec")) {
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

TEST(CodecCorpus, IsSurvived) {
  const std::vector<Bytes> corpus = read_corpus();
  ASSERT_GE(corpus.size(), 10U) << "the corpus was not found";
  for (const Bytes& bytes : corpus) LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

TEST(CodecCorpus, EachInputCutShortIsSurvived) {
  for (const Bytes& bytes : read_corpus()) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      LLVMFuzzerTestOneInput(bytes.data(), size);
    }
  }
}

TEST(CodecCorpus, MutationsOfItAreSurvived) {
  const std::vector<Bytes> corpus = read_corpus();
  ASSERT_FALSE(corpus.empty());
  for (std::size_t round = 0; round < kRounds; ++round) {
    std::mt19937_64 random(round);
    Bytes bytes = corpus[random() % corpus.size()];
    for (std::size_t n = random() % 6 + 1; n > 0 && !bytes.empty(); --n) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<std::uint8_t>(random());
          break;
        case 1:
          bytes[at] ^= static_cast<std::uint8_t>(1U << random() % 8);
          break;
        case 2:
          bytes[at] = 255;
          break;
        default:
          bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), random() % 8, 0);
      }
    }
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
}

}  // namespace
