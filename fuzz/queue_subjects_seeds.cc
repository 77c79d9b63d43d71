// SPDX-License-Identifier: Apache-2.0
//
// Makes the corpora of queue_calls_fuzz.cc and queue_memory_fuzz.cc, and those of the two targets
// in tests/testkit: for each queue programs that go round it in several ways, and one of the kit's
// random ones.
//
//   ./bazelw run //fuzz:queue_subjects_seeds -- $PWD/fuzz/corpus $PWD/tests/testkit/corpus
//
// Writes the same bytes each time. Files of other names, such as crashes that were found, stay.

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/fuzz/queue_subjects.h"
#include "sluice/fuzz/seed_maker.h"
#include "sluice/testkit/fuzz_input.h"

namespace sluice::fuzz {
namespace {

using internal::FuzzAction;
using internal::FuzzCall;
using Bytes = std::vector<std::uint8_t>;

constexpr std::uint64_t kSeed = 7;

/// Inputs of the kit, of one queue, as files in a directory.
class Seeds {
 public:
  /// Of our targets, whose inputs begin with the number of the queue.
  Seeds(const std::string& directory, std::size_t subject)
      : path_(directory + "/" + std::string(queue_subject(subject).name) + "-"),
        header_{static_cast<std::uint8_t>(subject)} {}
  /// Of a target that has one queue.
  explicit Seeds(const std::string& directory) : path_(directory + "/") {}

  void write(const std::string& name, const Bytes& input) const {
    std::ofstream file(path_ + name, std::ios::binary | std::ios::trunc);
    for (const std::uint8_t byte : header_) file.put(static_cast<char>(byte));
    for (const std::uint8_t byte : input) file.put(static_cast<char>(byte));
    if (!file.flush()) throw std::runtime_error("cannot write " + path_ + name);
  }

 private:
  std::string path_;
  Bytes header_;
};

/// `count` such calls; of batches, each of `items`.
void call(Bytes& input, FuzzCall what, std::size_t count = 1, std::size_t items = 1) {
  const auto byte = static_cast<std::uint8_t>((items - 1) * 16 + static_cast<std::size_t>(what));
  input.insert(input.end(), count, byte);
}

void write_calls(const Seeds& seeds, std::size_t number) {
  Bytes round = {3};  // a capacity of 4: full, refused, emptied, twice
  for (int lap = 0; lap < 2; ++lap) {
    call(round, FuzzCall::push, 5);
    call(round, FuzzCall::size);
    call(round, FuzzCall::pop, 5);
    call(round, FuzzCall::push_waiting, 3);
    call(round, FuzzCall::pop_waiting, 2);
  }
  seeds.write("round", round);
  Bytes batches = {6};
  for (const std::size_t items : {3, 7, 16}) {
    call(batches, FuzzCall::push_batch, 2, items);
    call(batches, FuzzCall::other_party);
    call(batches, FuzzCall::pop_batch, 2, items);
  }
  seeds.write("batches", batches);
  Bytes closed = {3};
  call(closed, FuzzCall::push, 3);
  call(closed, FuzzCall::close, 1, 16);
  call(closed, FuzzCall::push, 1);
  call(closed, FuzzCall::push_batch, 1, 2);
  call(closed, FuzzCall::pop_waiting, 4);
  call(closed, FuzzCall::close, 1, 16);
  call(closed, FuzzCall::pop_batch, 1, 2);
  seeds.write("closed", closed);
  seeds.write("random", internal::random_calls(kSeed, number));
}

void act(Bytes& input, FuzzAction action, std::size_t where = 0, std::uint8_t what = 7,
         std::uint64_t value = 0) {
  input.push_back(static_cast<std::uint8_t>(action));
  for (int i = 0; i < 2; ++i) input.push_back(static_cast<std::uint8_t>(where >> 8 * i));
  input.push_back(what);
  for (int i = 0; i < 8; ++i) input.push_back(static_cast<std::uint8_t>(value >> 8 * i));
}

void write_memory(const Seeds& seeds, std::size_t number,
                  std::initializer_list<std::size_t> places) {
  for (const std::size_t where : places) {
    Bytes input = {3};
    act(input, FuzzAction::push);
    act(input, FuzzAction::push_batch, 0, 2);
    act(input, FuzzAction::scribble, where, 7, ~std::uint64_t{0});
    act(input, FuzzAction::size);
    act(input, FuzzAction::pop);
    act(input, FuzzAction::push);
    act(input, FuzzAction::scribble, where, 7, 1);
    act(input, FuzzAction::attach);
    act(input, FuzzAction::pop_batch, 0, 2);
    act(input, FuzzAction::push_batch, 0, 2);
    seeds.write("at-" + std::to_string(where), input);
  }
  seeds.write("random", internal::random_scribbles(kSeed, number));
}

void write_all(const std::string& directory) {
  for (std::size_t subject = 0; subject < kQueueSubjects; ++subject) {
    write_calls(Seeds(directory + "/queue_calls", subject), subject);
    // Words that all of them have somewhere: sizes first, ends and locks further on.
    write_memory(Seeds(directory + "/queue_memory", subject), subject, {0, 128, 1152, 1280, 1408});
  }
}

/// For the kit's own two targets, whose queue is an MpmcRing.
void write_rings(const std::string& directory) {
  write_calls(Seeds(directory + "/ring_calls"), kQueueSubjects);
  // Capacity, size of a cell, registry, tail, head, and the first cell.
  write_memory(Seeds(directory + "/ring_memory"), kQueueSubjects, {0, 8, 16, 128, 256, 384});
}

void make(const char* directory, const char* of_testkit) {
  write_all(directory);
  write_rings(of_testkit);
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) { return sluice::fuzz::make_seeds(argc, argv, sluice::fuzz::make); }
