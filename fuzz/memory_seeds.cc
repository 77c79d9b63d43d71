// SPDX-License-Identifier: Apache-2.0
//
// Makes the corpus of memory_fuzz.cc:
//
//   ./bazelw run //fuzz:memory_seeds -- $PWD/fuzz/corpus/memory
//
// Writes the same bytes each time. Files of other names, such as crashes that were found, stay.

#include <array>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/fuzz/memory_input.h"
#include "sluice/fuzz/seed_maker.h"

namespace sluice::fuzz {
namespace {

struct Plan {
  int action;
  std::uint64_t value = 0;
  std::size_t where = 0;
  std::uint8_t what = 7;
};
using Plans = std::vector<Plan>;

void append(std::vector<std::uint8_t>& bytes, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i)
    bytes.push_back(static_cast<std::uint8_t>(number >> 8 * i));
}

void write(const std::string& path, Structure which, const Plans& plans) {
  std::vector<std::uint8_t> input = {static_cast<std::uint8_t>(which), 3};
  for (const Plan& plan : plans) {
    input.push_back(static_cast<std::uint8_t>(plan.action));
    append(input, plan.where, 2);
    input.push_back(plan.what);
    append(input, plan.value, 8);
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  for (const std::uint8_t byte : input) file.put(static_cast<char>(byte));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

Plans use(std::uint64_t value) {
  Plans plans;
  for (int action = 2; action < kActions; ++action) plans.push_back({action, value + 1});
  for (int action = 2; action < kActions; ++action) plans.push_back({action, value, 1, 6});
  return plans;
}

void write_all(const std::string& directory) {
  constexpr std::array<const char*, kStructures> kNames = {
      "spsc-small", "spsc-large", "byte-ring", "latest-word", "latest", "value", "list", "arena"};
  // Where the words of the one or the other lie.
  constexpr std::array<std::size_t, 8> kPlaces = {0, 8, 24, 64, 128, 256, 384, 392};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const auto which = static_cast<Structure>(i);
    const std::string path = directory + "/" + kNames[i];
    Plans healthy = use(5);
    for (const Plan& plan : use(21)) healthy.push_back(plan);
    write(path, which, healthy);
    for (const std::size_t place : kPlaces) {
      Plans plans = use(5);
      plans.push_back({0, ~std::uint64_t{0}, place});
      for (const Plan& plan : use(9)) plans.push_back(plan);
      plans.push_back({1, std::uint64_t{1} << 63 | place, place});
      for (const Plan& plan : use(30)) plans.push_back(plan);
      write(path + "-" + std::to_string(place), which, plans);
    }
    // A record that is longer than its ring.
    Plans plans = {{2, 9}, {0, std::uint64_t{0x8000'ffff} << 32, 384}, {5}};
    for (const Plan& plan : use(9)) plans.push_back(plan);
    write(path + "-long", which, plans);
  }
}

void make(const char* directory) { write_all(directory); }

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) { return sluice::fuzz::make_seeds(argc, argv, sluice::fuzz::make); }
