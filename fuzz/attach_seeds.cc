// SPDX-License-Identifier: Apache-2.0
//
// Makes the corpus of attach_fuzz.cc from real pipes in various states:
//
//   ./bazelw run //fuzz:attach_seeds -- $PWD/fuzz/corpus/attach
//
// Writes the same bytes each time. Files of other names, such as crashes that were found, stay.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/fuzz/attach_input.h"
#include "sluice/fuzz/seed_maker.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::fuzz {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kRing = internal::kPipeRingOffset;
constexpr std::size_t kTail = kRing + kNoSharing;
constexpr std::size_t kHead = kRing + 2 * kNoSharing;
constexpr std::size_t kRecords = kRing + 3 * kNoSharing;
constexpr std::uint64_t kCommitted = std::uint64_t{1} << 63;

struct Plan {
  Step step;
  std::uint64_t value = 0;
  std::size_t offset = 0;  ///< scribble: of the object, in bytes
  std::uint8_t what = 0;
};

class Seeds {
 public:
  explicit Seeds(std::string directory) : directory_(std::move(directory)) {}

  void write(const std::string& name, int making, const std::vector<Plan>& plans,
             const Bytes& bytes) const {
    Bytes input = {static_cast<std::uint8_t>(making), 0, static_cast<std::uint8_t>(plans.size())};
    for (const Plan& plan : plans) {
      const auto where = static_cast<std::uint16_t>(plan.offset / 8);
      input.push_back(static_cast<std::uint8_t>(plan.step));
      append(input, where, sizeof where);
      input.push_back(plan.what);
      append(input, plan.value, sizeof plan.value);
    }
    input.insert(input.end(), bytes.begin(), bytes.end());
    std::ofstream file(directory_ + "/" + name, std::ios::binary | std::ios::trunc);
    for (const std::uint8_t byte : input) file.put(static_cast<char>(byte));
    if (!file.flush()) throw std::runtime_error("cannot write " + directory_ + "/" + name);
  }

 private:
  static void append(Bytes& bytes, std::uint64_t number, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      bytes.push_back(static_cast<std::uint8_t>(number >> 8 * i));
    }
  }

  std::string directory_;
};

void expect(Status status) {
  if (status != Status::ok) throw std::runtime_error("a pipe of our own does not work");
}

/// The file of a pipe as it is, without what differs from run to run, nor the zeros at its end.
Bytes file_of(const Pipe& pipe) {
  const UniqueFd fd = pipe.sender.fd();
  struct stat s = {};
  if (fstat(fd.get(), &s) != 0) throw std::runtime_error("cannot examine a pipe");
  Bytes bytes(static_cast<std::size_t>(s.st_size));
  if (pread(fd.get(), bytes.data(), bytes.size(), 0) != s.st_size) {
    throw std::runtime_error("cannot read a pipe");
  }
  Stamp stamp = {};
  std::memcpy(&stamp, bytes.data(), sizeof stamp);
  stamp.incarnation = stamp.checksum = 0;
  stamp.creator_tag = 0;
  stamp.creator_pid = 0;
  stamp.made_at = 0;
  std::memcpy(bytes.data(), &stamp, sizeof stamp);
  for (std::size_t end = 0; end < 2; ++end) {
    std::memset(&bytes[kObjectOffset + end * 8], 0, sizeof(Tag));
  }
  while (!bytes.empty() && bytes.back() == 0) bytes.pop_back();
  return bytes;
}

Bytes object_of(const Pipe& pipe) {
  const Bytes file = file_of(pipe);
  return {file.begin() + kObjectOffset, file.end()};
}

void set(Bytes& bytes, std::size_t offset, std::uint64_t word) {
  bytes.resize(std::max(bytes.size(), offset + sizeof word));
  std::memcpy(&bytes[offset], &word, sizeof word);
}

const std::vector<Plan> kUse = {{Step::ask},
                                {Step::try_send, 5},
                                {Step::try_recv},
                                {Step::try_send_value},
                                {Step::recv_into, 64},
                                {Step::poll},
                                {Step::skip},
                                {Step::try_recv},
                                {Step::ask}};

Pipe with_messages() {
  Pipe pipe = Pipe::create(128);
  for (const char* text : {"one", "", "a message"}) expect(pipe.sender.try_send(text));
  return pipe;
}

/// A ring that has gone round `laps` times a hundred bytes, with a pad where a record did not fit.
Pipe wrapped(std::size_t capacity, int messages) {
  Pipe pipe = Pipe::create(capacity);
  for (int i = 0; i < messages; ++i) {
    std::string text(static_cast<std::size_t>(i) * 7 % 48, 'w');
    expect(pipe.sender.try_send(text));
    if (i + 1 < messages) expect(pipe.receiver.try_recv(text));
  }
  return pipe;
}

void healthy(const Seeds& seeds) {
  const int object = kObjectOnly | kFreeEnds;
  seeds.write("empty-pipe", object, kUse, object_of(Pipe::create(128)));
  seeds.write("messages", object, kUse, object_of(with_messages()));
  seeds.write("wrapped-9", object | kSendFirst, kUse, object_of(wrapped(128, 9)));
  seeds.write("wrapped-14", object, kUse, object_of(wrapped(256, 14)));
  Pipe full = Pipe::create(128);
  while (full.sender.try_send("fill it up") == Status::ok) continue;
  seeds.write("full", object, kUse, object_of(full));
  Pipe closed = with_messages();
  closed.sender.close();
  seeds.write("closed", kObjectOnly, kUse, object_of(closed));
  seeds.write("open-by-nobody", kObjectOnly, kUse, object_of(with_messages()));
  seeds.write("capacity-from-outside", object | kFixCapacity, kUse, {});
  seeds.write("waiting", object, {{Step::wait, 0, 0, 30}, {Step::wait}, {Step::wait, 0, 0, 200}},
              object_of(Pipe::create(128)));
  seeds.write("reopened", object,
              {{Step::try_send, 9},
               {Step::reopen, 0, 0, 0},
               {Step::reopen, 0, 0, 1},
               {Step::try_recv},
               {Step::close, 0, 0, 1},
               {Step::poll},
               {Step::close, 0, 0, 0}},
              object_of(Pipe::create(128)));
}

void stamps(const Seeds& seeds) {
  const Bytes file = file_of(with_messages());
  seeds.write("whole-file", kWholeFile | kFixStamp | kFreeEnds, kUse, file);
  seeds.write("another-registry", kWholeFile, kUse, file);
  seeds.write("stamp-only", kWholeFile, {}, {file.begin(), file.begin() + sizeof(Stamp)});
  seeds.write("no-bytes", kWholeFile, {}, {});
  Bytes another = file;
  another[offsetof(Stamp, kind)] = 'v';
  seeds.write("another-kind", kWholeFile | kFixStamp, kUse, another);
}

void hostile(const Seeds& seeds) {
  const int object = kObjectOnly | kFreeEnds;
  const auto damaged = [&](const std::string& name, std::size_t offset, std::uint64_t word) {
    Bytes bytes = object_of(with_messages());
    set(bytes, offset, word);
    seeds.write(name, object, kUse, bytes);
    // The same, but behind the back of two ends that are already attached.
    std::vector<Plan> plans = {{Step::try_recv}, {Step::scribble, word, offset}};
    plans.insert(plans.end(), kUse.begin(), kUse.end());
    seeds.write(name + "-later", object, plans, object_of(with_messages()));
  };
  damaged("capacity-too-big", kRing, std::uint64_t{1} << 20);
  damaged("capacity-odd", kRing, 129);
  damaged("head-ahead", kHead, std::uint64_t{1} << 40);
  damaged("head-unaligned", kHead, 3);
  damaged("tail-far", kTail, ~std::uint64_t{7});
  damaged("length-huge", kRecords, kCommitted | std::uint64_t{0x3fffffff} << 32);
  damaged("length-to-the-end", kRecords, kCommitted | std::uint64_t{120} << 32);
  damaged("pad-at-start", kRecords, std::uint64_t{3} << 62);
  damaged("uncommitted", kRecords, 1);
  damaged("end-state", 0, std::uint64_t{9} << 32);
  damaged("end-of-a-stranger", 8, std::uint64_t{2} << 32 | 0xfffffff0);
  Bytes round = object_of(Pipe::create(128));
  for (std::size_t at = 0; at < 128; at += 8) set(round, kRecords + at, kCommitted);
  seeds.write("records-without-end", object, kUse, round);
}

void make(const char* directory) {
  const Seeds seeds(directory);
  healthy(seeds);
  stamps(seeds);
  hostile(seeds);
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) { return sluice::fuzz::make_seeds(argc, argv, sluice::fuzz::make); }
