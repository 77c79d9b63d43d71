// SPDX-License-Identifier: Apache-2.0
//
// Makes the corpus of sealed_fuzz.cc:
//
//   ./bazelw run //fuzz:sealed_seeds -- $PWD/fuzz/corpus/sealed
//
// Writes the same bytes each time. Files of other names, such as crashes that were found, stay.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/fuzz/sealed_input.h"
#include "sluice/fuzz/seed_maker.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/sealed_memory.h"
#include "sluice/ipc/stamp.h"

namespace sluice::fuzz {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Step = SealedStep;

constexpr std::size_t kRecords = internal::kSealedRing + 384;
constexpr std::uint64_t kCommitted = std::uint64_t{1} << 63;

struct Plan {
  Step step;
  std::uint64_t value = 0;
  std::uint8_t what = 0;
  std::size_t offset = 0;  ///< scribble: of the object, in bytes
};

void append(Bytes& bytes, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(number >> 8 * i));
  }
}

class Seeds {
 public:
  explicit Seeds(std::string directory) : directory_(std::move(directory)) {}

  void write(const std::string& name, int making, const std::vector<Plan>& plans,
             const Bytes& bytes = {}) const {
    Bytes input = {static_cast<std::uint8_t>(making), static_cast<std::uint8_t>(plans.size())};
    for (const Plan& plan : plans) {
      input.push_back(static_cast<std::uint8_t>(plan.step));
      append(input, plan.offset / 8, 2);
      input.push_back(plan.what);
      append(input, plan.value, 8);
    }
    input.insert(input.end(), bytes.begin(), bytes.end());
    std::ofstream file(directory_ + "/" + name, std::ios::binary | std::ios::trunc);
    for (const std::uint8_t byte : input) file.put(static_cast<char>(byte));
    if (!file.flush()) throw std::runtime_error("cannot write " + directory_ + "/" + name);
  }

 private:
  std::string directory_;
};

std::vector<Plan> then_use(std::vector<Plan> plans) {
  for (const Plan& plan :
       {Plan{Step::ask}, Plan{Step::try_send, 100}, Plan{Step::send, 3000}, Plan{Step::try_recv},
        Plan{Step::try_recv, 0, 1}, Plan{Step::recv_into, 64}, Plan{Step::recv}, Plan{Step::skip},
        Plan{Step::recv_fd}, Plan{Step::descriptor}, Plan{Step::recv}, Plan{Step::ask}}) {
    plans.push_back(plan);
  }
  return plans;
}

void in_use(const Seeds& seeds) {
  seeds.write("idle", kSealedObject, then_use({}));
  seeds.write("messages", kSealedObject,
              then_use({{Step::put, 0, 10}, {Step::put, 1, 0}, {Step::put, 0, 200}}));
  seeds.write(
      "parts", kSealedObject,
      then_use({{Step::put, internal::kFirstPart, 40}, {Step::put, internal::kNextPart, 50}}));
  seeds.write(
      "rests", kSealedObject,
      then_use({{Step::put, internal::kNextPart, 50}, {Step::put, internal::kNextPart, 0}}));
  seeds.write("bells", kSealedObject, then_use({{Step::descriptor}, {Step::ring}, {Step::ring}}));
  seeds.write("bells-closed", kSealedObject, then_use({{Step::ring, 0, 1}}));
  seeds.write("gone", kSealedObject, then_use({{Step::put, 0, 9}, {Step::ring, 0, 2}}));
  seeds.write("descriptors", kSealedObject,
              then_use({{Step::send_fd, 0, 1},
                        {Step::recv_fd},
                        {Step::send_fd, 0, 0},
                        {Step::recv_fd},
                        {Step::send_fd, 0, 3}}));
}

void scribbled(const Seeds& seeds) {
  const auto word = [&](const std::string& name, std::size_t offset, std::uint64_t value) {
    seeds.write(name, kSealedObject, then_use({{Step::scribble, value, 0, offset}}));
  };
  word("state", 136, 77);
  word("state-closed", 136, 2);
  word("wanted", 128, 0x0000'0005'0000'0005);
  word("head-ahead", internal::kSealedProgress, std::uint64_t{1} << 40);
  word("head-unaligned", internal::kSealedProgress, 3);
  word("length-huge", kRecords, kCommitted | std::uint64_t{0x3fffffff} << 32);
  word("length-to-the-end", kRecords, kCommitted | std::uint64_t{504} << 32);
  word("pad", kRecords, kCommitted | std::uint64_t{1} << 62);
  word("not-committed", kRecords, 5);
}

void handed_over(const Seeds& seeds) {
  Bytes file(2 * kObjectOffset);
  const auto set = [&](std::size_t offset, std::uint64_t value) {
    std::memcpy(&file[kObjectOffset + offset], &value, sizeof value);
  };
  seeds.write("no-bytes", kSealedFile, {});
  seeds.write("zeros", kSealedFile | kSealedFixStamp, {}, file);
  set(0, 100);
  set(internal::kSealedRing, 512);
  set(kRecords, kCommitted | std::uint64_t{40} << 32);
  seeds.write("whole", kSealedFile | kSealedFixStamp, {}, file);
  seeds.write("another-stamp", kSealedFile, {}, file);
  set(internal::kSealedRing, 1 << 20);
  seeds.write("capacity-too-big", kSealedFile | kSealedFixStamp, {}, file);
}

void make(const char* directory) {
  const Seeds seeds(directory);
  in_use(seeds);
  scribbled(seeds);
  handed_over(seeds);
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) { return sluice::fuzz::make_seeds(argc, argv, sluice::fuzz::make); }
