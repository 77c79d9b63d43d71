// SPDX-License-Identifier: Apache-2.0
//
// A connection whose bytes are written by somebody who follows no rules: parts that lie about their
// message, sizes out of range, and random words while both ends are in use. Every call ends, with a
// Status or an Error, and no message is longer than was agreed.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

constexpr std::size_t kCapacity = 512;
constexpr std::size_t kMost = 4000;

/// What a hostile peer has: the same memory, without any rules.
class Peer {
 public:
  explicit Peer(const Connection& end) {
    const UniqueFd fd = end.fd();
    struct stat s = {};
    if (fstat(fd.get(), &s) != 0) throw std::runtime_error("fstat");
    size_ = static_cast<std::size_t>(s.st_size);
    void* const address = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (address == MAP_FAILED) throw std::runtime_error("mmap");
    memory_ = static_cast<std::byte*>(address);
  }
  ~Peer() { munmap(memory_, size_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  [[nodiscard]] std::span<std::byte> object() const {
    return {memory_ + kObjectOffset, size_ - kObjectOffset};
  }
  /// The ring of what the first end sends.
  [[nodiscard]] std::span<std::byte> ring() const {
    const std::size_t ring = ByteRing::bytes_for(kCapacity);
    return object().subspan(internal::kConnectionRingOffset + ring, ring);
  }
  void write(std::size_t offset, std::uint64_t word) const {
    std::memcpy(&object()[offset], &word, sizeof word);
  }

 private:
  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
};

class ConnectionHostile : public testing::Test {
 protected:
  ConnectionHostile()
      : pair_(Connection::pair({.capacity = kCapacity, .max_message = kMost})),
        peer_(pair_.first) {}

  void put(std::uint32_t type, const Bytes& bytes) {
    ASSERT_EQ(ByteRing::Producer(peer_.ring()).try_write(type, bytes), Status::ok);
  }
  void put_first_part(std::uint64_t total, std::size_t data) {
    Bytes bytes(internal::kFirstPartHeader + data);
    std::memcpy(bytes.data(), &total, sizeof total);
    put(internal::kFirstPart, bytes);
  }
  /// What recv() says to it, and that skip() gets past it.
  Status received() {
    Bytes bytes;
    const Status status = pair_.second.recv(bytes, Deadline::now());
    EXPECT_LE(bytes.capacity(), kMost);
    return status;
  }

  ConnectionPair pair_;
  Peer peer_;
};

TEST_F(ConnectionHostile, PartsThatLieAboutTheirMessageAreCorruptOrDropped) {
  put_first_part(std::uint64_t{1} << 60, 8);
  EXPECT_EQ(received(), Status::corrupt) << "beyond the longest message";
  EXPECT_EQ(pair_.second.skip(), Status::ok);
  put_first_part(8, 8);
  EXPECT_EQ(received(), Status::corrupt) << "whole, and so no part";
  EXPECT_EQ(pair_.second.skip(), Status::ok);
  put(internal::kFirstPart, Bytes(15));
  EXPECT_EQ(received(), Status::corrupt) << "without a header";
  EXPECT_EQ(pair_.second.skip(), Status::ok);
  put(internal::kNextPart, Bytes(10));
  EXPECT_EQ(received(), Status::timeout) << "the rest of something";
  put_first_part(20, 8);
  put(internal::kNextPart, Bytes(13));
  EXPECT_EQ(received(), Status::corrupt) << "more than was announced";
  EXPECT_EQ(pair_.second.skip(), Status::ok);
  EXPECT_EQ(received(), Status::timeout) << "what was left of it is dropped";
  put(0, Bytes(3));
  EXPECT_EQ(received(), Status::ok);
}

TEST_F(ConnectionHostile, SizesOutOfRangeAreRefusedWhenAttaching) {
  const auto attaches = [&] {
    try {
      static_cast<void>(Connection::from_fd(pair_.first.fd()));
      return true;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Status::corrupt) << e.what();
      return false;
    }
  };
  const std::size_t ring = internal::kConnectionRingOffset;
  const std::size_t other = ring + ByteRing::bytes_for(kCapacity);
  for (const std::uint64_t most : {std::uint64_t{0}, std::uint64_t{1} << 32, ~std::uint64_t{0}}) {
    peer_.write(16, most);
    EXPECT_FALSE(attaches());
  }
  peer_.write(16, kMost);
  for (const std::size_t at : {ring, other}) {
    for (const std::uint64_t capacity : {0, 100, 256, 1024, 1 << 30}) {
      peer_.write(at, capacity);
      EXPECT_FALSE(attaches()) << capacity;
    }
    peer_.write(at, kCapacity);
  }
  EXPECT_TRUE(attaches());
}

void use(Connection& end, std::mt19937_64& random) {
  Bytes bytes;
  std::string text;
  std::uint64_t value = 0;
  std::vector<std::string> values;
  switch (random() % 14) {
    case 0:
      static_cast<void>(end.send(Bytes(random() % 5000), 5us));
      break;
    case 1:
      static_cast<void>(end.try_send(std::string(random() % 400, 'x')));
      break;
    case 2:
      static_cast<void>(end.try_send(std::vector<std::string>{"a", "b"}));
      break;
    case 3: {
      auto room = end.reserve(random() % 300, Deadline::now());
      if (room) room.commit();
      break;
    }
    case 4:
      static_cast<void>(end.poll());
      break;
    case 5:
      static_cast<void>(end.skip());
      break;
    case 6: {
      auto message = end.peek(Deadline::now());
      std::size_t sum = 0;
      for (const std::byte b : message.bytes()) sum += std::to_integer<std::size_t>(b);
      if (message && sum % 2 == 0) message.release();
      break;
    }
    case 7:
      static_cast<void>(end.try_recv(value));
      break;
    case 8:
      static_cast<void>(end.try_recv(values));
      break;
    case 9: {
      Bytes room(random() % 600);
      ASSERT_LE(end.recv_into(room, Deadline::now()).size, kMost);
      break;
    }
    case 10:
      static_cast<void>(end.status());
      static_cast<void>(end.peer());
      break;
    default:
      static_cast<void>(end.try_recv(bytes));
      ASSERT_LE(bytes.size(), kMost);
  }
}

/// A word that could be a header of the ring, a count, or anything.
std::uint64_t some_word(std::mt19937_64& random) {
  constexpr std::uint64_t kCommitted = std::uint64_t{1} << 63;
  switch (random() % 5) {
    case 0:
      return random();
    case 1:
      return random() % 1024;
    case 2:
      return 0;
    default:
      return kCommitted | random() % 300 << 32 | random() % 6;
  }
}

TEST(ConnectionHostileRandom, WordsAreSurvived) {
  for (std::uint64_t round = 0; round < 600; ++round) {
    std::mt19937_64 random(round);
    auto [a, b] = Connection::pair({.capacity = kCapacity, .max_message = kMost});
    const Peer peer(a);
    for (int step = 0; step < 60; ++step) {
      use(random() % 2 == 0 ? a : b, random);
      if (random() % 3 != 0) continue;
      // The rings more often than the ends' words, whose garbage ends everything.
      const std::size_t words = peer.object().size() / 8;
      const std::size_t first = random() % 20 == 0 ? 0 : internal::kConnectionRingOffset / 8;
      peer.write((first + random() % (words - first)) * 8, some_word(random));
    }
  }
}

}  // namespace
}  // namespace sluice::tests
