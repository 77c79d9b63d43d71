// SPDX-License-Identifier: Apache-2.0
//
// Makes the corpus of inspect_fuzz.cc: of each kind an object with words as they are in healthy
// ones, and with hostile ones.
//
//   ./bazelw run //fuzz:inspect_seeds -- $PWD/fuzz/corpus/inspect
//
// Writes the same bytes each time. Files of other names, such as crashes that were found, stay.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/fuzz/inspect_input.h"
#include "sluice/fuzz/seed_maker.h"

namespace sluice::fuzz {
namespace {

using Words = std::vector<std::pair<std::size_t, std::uint64_t>>;

void write(const std::string& path, std::size_t kind, int look, std::uint8_t cut,
           const Words& words) {
  std::vector<std::uint8_t> input = {static_cast<std::uint8_t>(kind),
                                     static_cast<std::uint8_t>(look), cut};
  for (const auto& [at, word] : words) {
    const std::size_t begin = kInspectHeader + at;
    if (input.size() < begin + sizeof word) input.resize(begin + sizeof word);
    std::memcpy(&input[begin], &word, sizeof word);
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  for (const std::uint8_t byte : input) file.put(static_cast<char>(byte));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

void write_all(const std::string& directory) {
  constexpr std::uint64_t kHeld = std::uint64_t{1} << 32 | 4711;
  const Words healthy = {{0, kHeld}, {8, kHere}, {16, 1000}, {24, std::uint64_t{128} << 32 | 8},
                         {32, 96},   {40, 8},    {256, 128}, {384, 128},
                         {896, 128}, {640, 0}};
  const Words hostile = {{0, ~std::uint64_t{0}},        {8, ~std::uint64_t{0}},
                         {16, ~std::uint64_t{0}},       {24, ~std::uint64_t{0}},
                         {256, std::uint64_t{1} << 30}, {384, std::uint64_t{1} << 63},
                         {640, std::uint64_t{3} << 62}};
  for (std::size_t kind = 0; kind < kInspectedKinds.size(); ++kind) {
    const std::string path =
        directory + "/" + std::to_string(kind) + "-" + std::string(kInspectedKinds[kind].name);
    write(path, kind, kOwnIncarnation, 0, healthy);
    write(path + "-file", kind, kOwnIncarnation | kAsFile, 0, healthy);
    write(path + "-hostile", kind, kOwnIncarnation | kAsFile | kForeign, 0, hostile);
    write(path + "-cut", kind, 0, 63, hostile);
  }
}

void make(const char* directory) { write_all(directory); }

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) { return sluice::fuzz::make_seeds(argc, argv, sluice::fuzz::make); }
