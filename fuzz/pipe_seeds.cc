// SPDX-License-Identifier: Apache-2.0
//
// Makes the corpus of pipe_fuzz.cc:
//
//   ./bazelw run //fuzz:pipe_seeds -- $PWD/fuzz/corpus/pipe
//
// Writes the same bytes each time. Files of other names, such as crashes that were found, stay.

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/fuzz/pipe_input.h"
#include "sluice/fuzz/seed_maker.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/platform.h"

namespace sluice::fuzz {
namespace {

constexpr std::uint8_t kPipe = 0;
constexpr std::uint8_t kConnection = 1;
constexpr std::uint64_t kCommitted = std::uint64_t{1} << 63;
constexpr std::uint64_t kPad = std::uint64_t{1} << 62;

struct Plan {
  PipeStep step;
  std::uint64_t value = 0;
  std::size_t where = 0;
  std::uint8_t what = 0;
};
using Plans = std::vector<Plan>;

class Seeds {
 public:
  explicit Seeds(std::string directory) : directory_(std::move(directory)) {}

  void write(const std::string& name, std::uint8_t kind, const Plans& plans) const {
    std::vector<std::uint8_t> input = {kind};
    for (const Plan& plan : plans) {
      input.push_back(static_cast<std::uint8_t>(plan.step));
      append(input, plan.where, 2);
      input.push_back(plan.what);
      append(input, plan.value, 8);
    }
    std::ofstream file(directory_ + "/" + name, std::ios::binary | std::ios::trunc);
    for (const std::uint8_t byte : input) file.put(static_cast<char>(byte));
    if (!file.flush()) throw std::runtime_error("cannot write " + directory_ + "/" + name);
  }

 private:
  static void append(std::vector<std::uint8_t>& bytes, std::uint64_t number, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      bytes.push_back(static_cast<std::uint8_t>(number >> 8 * i));
    }
  }

  std::string directory_;
};

/// All that can be received, and asked.
const Plans kTake = {{PipeStep::poll},       {PipeStep::recv_into, 64},
                     {PipeStep::peek},       {PipeStep::release},
                     {PipeStep::recv_value}, {PipeStep::recv_at_most, 40},
                     {PipeStep::recv_each},  {PipeStep::skip},
                     {PipeStep::recv},       {PipeStep::wait},
                     {PipeStep::ask}};
const Plans kGive = {{PipeStep::try_send, 5}, {PipeStep::send_value, 7}, {PipeStep::send_each, 20},
                     {PipeStep::reserve, 30}, {PipeStep::commit, 11},    {PipeStep::send, 17, 0, 3},
                     {PipeStep::reserve, 8},  {PipeStep::try_send, 9},   {PipeStep::abandon},
                     {PipeStep::try_send, 0}};

Plans joined(std::vector<Plans> parts) {
  Plans all;
  for (const Plans& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

void healthy(const Seeds& seeds) {
  seeds.write("pipe", kPipe, joined({kGive, kTake, kGive, kTake}));
  seeds.write("connection", kConnection, joined({kGive, kTake, kGive, kTake}));
  seeds.write("long-messages", kConnection,
              {{PipeStep::send, 90},
               {PipeStep::recv_into, 20},
               {PipeStep::recv},
               {PipeStep::send, 200, 0, 3},
               {PipeStep::recv},
               {PipeStep::send, 100, 0, kOtherDirection},
               {PipeStep::recv, 0, 0, kOtherDirection},
               {PipeStep::send, 70},
               {PipeStep::poll},
               {PipeStep::attach_in},
               {PipeStep::recv}});
  Plans around;
  for (std::uint64_t i = 0; i < 30; ++i) {
    around.push_back({PipeStep::try_send, i * 7 % 48});
    around.push_back({PipeStep::recv});
  }
  seeds.write("round-and-round", kPipe, around);
  seeds.write("new-ends", kPipe,
              joined({kGive,
                      {{PipeStep::close_out}, {PipeStep::recv}, {PipeStep::attach_out}},
                      kGive,
                      {{PipeStep::attach_in}},
                      kTake,
                      {{PipeStep::close_in}, {PipeStep::try_send, 3}, {PipeStep::attach_in}}}));
}

/// Each word of interest, written before and after something was sent.
void hostile(const Seeds& seeds, const std::string& kind, std::uint8_t which, std::size_t ring) {
  const std::size_t records = ring + 3 * kNoSharing;
  const std::vector<std::pair<std::string, Plan>> damages = {
      {"end", {PipeStep::scribble, std::uint64_t{9} << 32, 0, 7}},
      {"end-of-a-stranger", {PipeStep::scribble, std::uint64_t{2} << 32 | 0xfffffff0, 8, 7}},
      {"event-count", {PipeStep::scribble, ~std::uint64_t{0}, kNoSharing, 7}},
      {"capacity", {PipeStep::scribble, 256, ring, 7}},
      {"tail", {PipeStep::scribble, 64, ring + kNoSharing, 7}},
      {"head", {PipeStep::scribble, 40, ring + 2 * kNoSharing, 7}},
      {"head-unaligned", {PipeStep::scribble, 3, ring + 2 * kNoSharing, 7}},
      {"length", {PipeStep::scribble, kCommitted | std::uint64_t{120} << 32, records, 7}},
      {"length-huge", {PipeStep::scribble, kCommitted | (kPad - 1), records, 7}},
      {"pad", {PipeStep::scribble_near, kCommitted | kPad, 0}},
      {"first-part", {PipeStep::scribble_near, kCommitted | std::uint64_t{24} << 32 | 2, 0}},
      {"next-part", {PipeStep::scribble_near, kCommitted | std::uint64_t{8} << 32 | 4, 0}},
      {"payload", {PipeStep::scribble, 0, records + 8, 3}}};
  for (const auto& [name, plan] : damages) {
    seeds.write(kind + "-" + name, which,
                joined({{{PipeStep::try_send, 24}},
                        {plan},
                        kTake,
                        kGive,
                        {plan, {PipeStep::attach_in}, {PipeStep::attach_out}},
                        kGive,
                        {plan},
                        kTake}));
  }
  seeds.write(kind + "-while-peeked", which,
              {{PipeStep::try_send, 24},
               {PipeStep::peek},
               {PipeStep::reserve, 16},
               {PipeStep::scribble, kCommitted | std::uint64_t{100} << 32, records, 7},
               {PipeStep::ask},
               {PipeStep::commit, 16},
               {PipeStep::release},
               {PipeStep::recv}});
}

void make(const char* directory) {
  const Seeds seeds(directory);
  healthy(seeds);
  hostile(seeds, "pipe", kPipe, internal::kPipeRingOffset);
  hostile(seeds, "connection", kConnection,
          internal::kConnectionRingOffset + ByteRing::bytes_for(128));
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) { return sluice::fuzz::make_seeds(argc, argv, sluice::fuzz::make); }
