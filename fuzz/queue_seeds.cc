// SPDX-License-Identifier: Apache-2.0
//
// Makes the corpus of queue_fuzz.cc:
//
//   ./bazelw run //fuzz:queue_seeds -- $PWD/fuzz/corpus/queue
//
// Writes the same bytes each time. Files of other names, such as crashes that were found, stay.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/fuzz/queue_input.h"

namespace sluice::fuzz {
namespace {

struct Plan {
  QueueStep step;
  std::uint64_t value = 0;
  std::size_t where = 0;
  std::uint8_t what = 7;
};
using Plans = std::vector<Plan>;

void append(std::vector<std::uint8_t>& bytes, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i)
    bytes.push_back(static_cast<std::uint8_t>(number >> 8 * i));
}

void write(const std::string& path, std::uint8_t which, const Plans& plans) {
  std::vector<std::uint8_t> input = {which};
  for (const Plan& plan : plans) {
    input.push_back(static_cast<std::uint8_t>(plan.step));
    append(input, plan.where, 2);
    input.push_back(plan.what);
    append(input, plan.value, 8);
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  for (const std::uint8_t byte : input) file.put(static_cast<char>(byte));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

Plans use(std::uint64_t value) {
  return {{QueueStep::push, value},
          {QueueStep::push, value + 100, 0, 0},
          {QueueStep::push_each, value},
          {QueueStep::ask},
          {QueueStep::pop},
          {QueueStep::pop, 0, 0, 0},
          {QueueStep::push_each, 3, 0, 5},
          {QueueStep::skip},
          {QueueStep::pop_each, 0, 0, 2},
          {QueueStep::reattach},
          {QueueStep::pop_each, 0, 0, 7},
          {QueueStep::pop_each}};
}

void join(Plans& plans, const Plans& more) { plans.insert(plans.end(), more.begin(), more.end()); }

void write_all(const std::string& directory) {
  const auto path = [&](const std::string& name) { return directory + "/" + name; };
  for (int which = 0; which < 16; ++which) {
    Plans plans = use(5);
    join(plans, use(300));
    plans.push_back({QueueStep::push, 9});
    plans.push_back({QueueStep::close, 0, 0, static_cast<std::uint8_t>(which)});
    join(plans, use(7));
    write(path("healthy-" + std::to_string(which)), static_cast<std::uint8_t>(which), plans);
  }
  // Of the object: overflow, seats, limits, state, the push side, its tail, the pop side, its head,
  // and the first records.
  constexpr std::size_t kPlaces[] = {0,    4,    128,  136,  1152, 1160, 1168, 1176,
                                     1280, 1288, 1408, 1416, 1424, 1432, 1536, 1664,
                                     1672, 1680, 1792, 1920, 1936, 2000};
  constexpr std::uint64_t kWords[] = {~std::uint64_t{0}, 1, std::uint64_t{60} << 58 | 0x4000001};
  for (const std::size_t place : kPlaces) {
    for (std::size_t i = 0; i < 3; ++i) {
      Plans plans = use(5);
      plans.push_back({QueueStep::push, 20});
      plans.push_back({QueueStep::scribble, kWords[i], place});
      join(plans, use(30));
      plans.push_back({QueueStep::interrupt, kWords[i], place});
      join(plans, use(200));
      write(path("at-" + std::to_string(place) + "-" + std::to_string(i)),
            static_cast<std::uint8_t>(place / 8 + i), plans);
    }
  }
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: queue_seeds DIRECTORY\n";
    return 2;
  }
  try {
    sluice::fuzz::write_all(argv[1]);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
  return 0;
}
