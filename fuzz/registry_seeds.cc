// SPDX-License-Identifier: Apache-2.0
//
// Makes the corpus of registry_fuzz.cc: registries as they are in healthy domains, and damaged in
// each of their fields, before and while they are used.
//
//   ./bazelw run //fuzz:registry_seeds -- $PWD/fuzz/corpus/registry
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

#include "sluice/fuzz/registry_input.h"
#include "sluice/fuzz/seed_maker.h"
#include "sluice/sync/registry_format.h"

namespace sluice::fuzz {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Plan {
  RegistryStep step;
  std::uint64_t value = 0;
  std::size_t where = 0;  ///< in bytes
  std::uint8_t what = 7;
};
using Plans = std::vector<Plan>;

constexpr int kWhole = kRegistryFixHeader | kRegistryFixFiles | kRegistryFullLength;
constexpr std::size_t kHeaderBytes = 168;
constexpr std::size_t kCounter = internal::kCounterOffset;
constexpr std::size_t kRecord = internal::kRecordsOffset;

void set(Bytes& bytes, std::size_t at, std::uint64_t word, std::size_t size = 8) {
  if (bytes.size() < at + size) bytes.resize(at + size);
  std::memcpy(&bytes[at], &word, size);
}

/// As that of a domain in which tags 1 and 2 were given out, and 2 has left.
Bytes registry() {
  Bytes bytes;
  set(bytes, 16, 0x1234'5678'9abc'def0);  // incarnation
  set(bytes, kCounter, 3, 4);
  for (const std::uint32_t tag : {1U, 2U}) {
    const std::size_t at = kRecord + std::size_t{tag} * 64;
    set(bytes, at, tag, 4);
    set(bytes, at + 4, 4710 + tag, 4);
    set(bytes, at + 8, 0x72'65'73'72'61'70);  // "parser"
    set(bytes, at + 24, tag == 2 ? tag : 0, 4);
  }
  return bytes;
}

class Seeds {
 public:
  explicit Seeds(std::string directory) : directory_(std::move(directory)) {}

  void write(const std::string& name, int making, const Plans& plans, const Bytes& bytes) const {
    Bytes input = {static_cast<std::uint8_t>(making), static_cast<std::uint8_t>(plans.size())};
    for (const Plan& plan : plans) {
      input.push_back(static_cast<std::uint8_t>(plan.step));
      const std::size_t at = input.size();
      set(input, at, plan.where / 8, 2);
      input.push_back(plan.what);
      set(input, input.size(), plan.value);
    }
    input.insert(input.end(), bytes.begin(), bytes.end());
    std::ofstream file(directory_ + "/" + name, std::ios::binary | std::ios::trunc);
    for (const std::uint8_t byte : input) file.put(static_cast<char>(byte));
    if (!file.flush()) throw std::runtime_error("cannot write " + directory_ + "/" + name);
  }

 private:
  std::string directory_;
};

Plans use() {
  return {{RegistryStep::open},
          {RegistryStep::open, 0, 0, 6},
          {RegistryStep::ask},
          {RegistryStep::attach},
          {RegistryStep::probe, 1},
          {RegistryStep::probe, 3},
          {RegistryStep::describe, 2},
          {RegistryStep::describe, 3},
          {RegistryStep::live_file, 0, 0, 5},
          {RegistryStep::inspect, 2},
          {RegistryStep::leave},
          {RegistryStep::describe, 3}};
}

Plans operator+(Plans plans, const Plans& more) {
  plans.insert(plans.end(), more.begin(), more.end());
  return plans;
}

void healthy(const Seeds& seeds) {
  seeds.write("healthy", kWhole, use(), registry());
  seeds.write("as-it-is", 0, use(), registry());
  seeds.write("another-device", kRegistryFixHeader | kRegistryFullLength, use(), registry());
  seeds.write("short-of-records", kRegistryFixHeader | kRegistryFixFiles, use(), registry());
  seeds.write("no-bytes", 0, use(), {});
  seeds.write("header-only", kRegistryFixHeader | kRegistryFixFiles, use(), Bytes(kHeaderBytes));
  seeds.write("zeros", kRegistryFullLength, use(), {});
  Bytes used_up = registry();
  set(used_up, kCounter, 0xffffffff, 4);
  seeds.write("used-up", kWhole, use() + use(), used_up);
  seeds.write(
      "used-up-while-in-use", kWhole,
      Plans{{RegistryStep::attach}, {RegistryStep::scribble, 0, kCounter, 3}} + use() + use(),
      registry());
  // Who comes finds the number taken, or all that are left.
  seeds.write("counter-set-back", kWhole,
              Plans{{RegistryStep::other, 3}, {RegistryStep::other, 4}} + use() +
                  Plans{{RegistryStep::probe, 5}, {RegistryStep::attach}},
              registry());
  seeds.write("used-up-by-others", kWhole, Plans{{RegistryStep::other, 0xfffffffe}} + use() + use(),
              [] {
                Bytes bytes = registry();
                set(bytes, kCounter, 0xfffffffe, 4);
                return bytes;
              }());
}

void damaged(const Seeds& seeds) {
  // Magic, version and size, incarnation, device, two inodes, the namespace, the counter, and of
  // records the tag, the name and who has left.
  constexpr std::size_t kPlaces[] = {0,   8,        16,           24,           32,           152,
                                     160, kCounter, kRecord + 64, kRecord + 72, kRecord + 128};
  for (const std::size_t place : kPlaces) {
    const std::string name = "at-" + std::to_string(place);
    for (const std::uint64_t word : {std::uint64_t{0}, ~std::uint64_t{0}}) {
      const std::string which = word == 0 ? "-0" : "-1";
      Bytes bytes = registry();
      set(bytes, place, word);
      seeds.write(name + which, place < 32 ? 0 : kWhole, use(), bytes);
      seeds.write(name + which + "-later", kWhole,
                  use() + Plans{{RegistryStep::scribble, word, place}} + use(), registry());
    }
  }
}

void files(const Seeds& seeds) {
  for (int damage = 0; damage < kFileDamages; ++damage) {
    const auto value = static_cast<std::uint64_t>(damage);
    const std::string name = std::to_string(damage);
    seeds.write("registry-" + name, kWhole,
                Plans{{RegistryStep::damage_registry, value}} + use() +
                    Plans{{RegistryStep::damage_registry, value}} + use(),
                registry());
    // Of the tags that are asked for, 3 is the one to come.
    seeds.write(
        "live-" + name, kWhole,
        Plans{{RegistryStep::damage_live, value, 0, 3}, {RegistryStep::damage_live, value, 0, 2}} +
            use() + Plans{{RegistryStep::damage_registry}} + use(),
        registry());
  }
  for (const std::size_t length : {std::size_t{0}, std::size_t{160}, kCounter, kRecord + 96}) {
    seeds.write("cut-" + std::to_string(length), kWhole,
                use() + Plans{{RegistryStep::cut, 0, length}} + use(), registry());
  }
}

void make(const char* directory) {
  const Seeds seeds(directory);
  healthy(seeds);
  damaged(seeds);
  files(seeds);
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) { return sluice::fuzz::make_seeds(argc, argv, sluice::fuzz::make); }
