// SPDX-License-Identifier: Apache-2.0
//
// Makes the corpus of queue_fuzz.cc:
//
//   ./bazelw run //fuzz:queue_seeds -- $PWD/fuzz/corpus/queue
//
// Writes the same bytes each time. Files of other names, such as crashes that were found, stay.

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/fuzz/queue_input.h"
#include "sluice/fuzz/seed_maker.h"

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

/// Used as it is meant to be, and closed: bit 0 says whether what is there is dropped.
Plans healthy(int which) {
  Plans plans = use(5);
  join(plans, use(300));
  plans.push_back({QueueStep::push, 9});
  plans.push_back({QueueStep::close, 0, 0, static_cast<std::uint8_t>(which)});
  join(plans, use(7));
  return plans;
}

void write_rings(const std::string& directory) {
  const auto write_ring = [&](const std::string& name, std::size_t which, const Plans& plans) {
    write(directory + "/ring-" + name, static_cast<std::uint8_t>(kQueueIsRing | which % 16), plans);
  };
  for (const int which : {0, 1, 2, 11}) {
    write_ring("healthy-" + std::to_string(which), static_cast<std::size_t>(which), healthy(which));
  }
  // Of the object: overflow, seats, state, who waits; of the ring (lockfree/mpmc_layout.h) its
  // capacity, the size of a cell, the registry, tail and head; and the words of two cells. Few:
  // each call on such a ring may look at 65,536 cells.
  constexpr std::size_t kPlaces[] = {0,    128,  1152, 1156, 1280, 1408,
                                     1416, 1424, 1536, 1664, 1792, 1824};
  for (const std::size_t place : kPlaces) {
    // All ones, or 2^34 + 1: in a cell, that it is claimed for long; empty, in the next lap.
    const std::uint64_t word = place % 256 == 0 ? ~std::uint64_t{0} : (std::uint64_t{1} << 34 | 1);
    write_ring("at-" + std::to_string(place), place / 8,
               {{QueueStep::push, 5},
                {QueueStep::push_each, 3, 0, 3},
                {QueueStep::scribble, word, place},
                {QueueStep::ask},
                {QueueStep::pop, 0, 0, 0},
                {QueueStep::push_each, 7, 0, 5},
                {QueueStep::reattach},
                {QueueStep::pop_each, 0, 0, 7},
                {QueueStep::scribble, 0, place},
                {QueueStep::push, 9, 0, 0},
                {QueueStep::pop}});
  }
  // Larger than the memory is, and both sides far on in it.
  constexpr std::size_t kCapacity = 1408, kTail = 1536, kHead = 1664;
  write_ring("larger", 0,
             {{QueueStep::scribble, 1 << 20, kCapacity},
              {QueueStep::scribble, 1 << 19, kTail},
              {QueueStep::scribble, 1 << 19, kHead},
              {QueueStep::reattach},
              {QueueStep::push, 5},
              {QueueStep::pop}});
}

void write_all(const std::string& directory) {
  const auto path = [&](const std::string& name) { return directory + "/" + name; };
  for (int which = 0; which < 16; ++which) {
    write(path("healthy-" + std::to_string(which)), static_cast<std::uint8_t>(which),
          healthy(which));
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

void make(const char* directory) {
  write_all(directory);
  write_rings(directory);
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) { return sluice::fuzz::make_seeds(argc, argv, sluice::fuzz::make); }
