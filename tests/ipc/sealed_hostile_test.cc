// SPDX-License-Identifier: Apache-2.0
//
// A sealed connection whose peer follows no rules: in the handshake, in its memory while it is
// used, and on its sockets. Every call ends by its deadline, with a Status or an Error, no message
// is longer than was agreed, and no more memory is used than was agreed. What one side has sent can
// be changed by nobody else.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/sealed_connection.h"
#include "sluice/ipc/sealed_memory.h"
#include "sluice/ipc/unix_socket.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/sealed_peer.h"
#include "sluice/tests/support/sealed_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::SealedMemory;
using internal::UnixSocket;
using testing::HasSubstr;
using Bytes = std::vector<std::byte>;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kCapacity = 512;
constexpr std::size_t kMost = 4000;
constexpr SealedOptions kOptions = {
    .capacity = kCapacity, .max_message = kMost, .max_peer_capacity = 4096};
constexpr int kFutureWrite = 0x0010;

// -------------------------------------------------------------------------------------------------
// The handshake

/// What the victim says of a peer that `act`s so; it has `patience`.
std::string handshake_with(const std::function<void(UnixSocket&)>& act, Deadline patience = 20s) {
  auto [mine, theirs] = UnixSocket::pair();
  act(theirs);
  try {
    auto end = SealedConnection::from_socket(UniqueFd(dup(mine.get())), patience, kOptions);
    static_cast<void>(end.send("x", Deadline::now()));
    std::string text;
    static_cast<void>(end.recv(text, Deadline::now()));
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

std::string greeted_with(const UniqueFd& memory) {
  return handshake_with([&](UnixSocket& socket) {
    auto [kept, bell] = UnixSocket::pair();
    send_hello(socket, {memory.get(), bell.get()});
  });
}

UniqueFd memfd_of(std::span<const std::byte> bytes, int seals, unsigned flags = 0) {
  UniqueFd fd(memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags));
  if (pwrite(fd.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()) ||
      fcntl(fd.get(), F_ADD_SEALS, seals) != 0) {
    throw std::runtime_error("memfd");
  }
  return fd;
}

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | kFutureWrite;

/// The whole of a segment as an honest side makes it.
Bytes honest_bytes() {
  SealedMemory honest = SealedMemory::make(kCapacity, kMost);
  const std::byte* const start = honest.object().data() - kObjectOffset;
  return {start, start + kObjectOffset + honest.object().size()};
}

TEST(SealedHandshake, AnHonestPeerIsAccepted) {
  EXPECT_EQ(greeted_with(memfd_of(honest_bytes(), kSeals)), "");
}

TEST(SealedHandshake, MemoryThatIsNotSealedOrNotMemoryIsRefused) {
  const Bytes bytes = honest_bytes();
  for (const int missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL, kFutureWrite, kSeals}) {
    EXPECT_THAT(greeted_with(memfd_of(bytes, kSeals & ~missing)), HasSubstr("sealed against"));
  }
  EXPECT_THAT(greeted_with(UniqueFd(open("/dev/zero", O_RDWR | O_CLOEXEC))), HasSubstr("sealed"));
  EXPECT_THAT(greeted_with(UniqueFd(open("/proc/self/exe", O_RDONLY | O_CLOEXEC))),
              HasSubstr("sealed"));
  EXPECT_THAT(greeted_with(UniqueFd(open("/", O_PATH | O_CLOEXEC))), HasSubstr("sealed"));
}

TEST(SealedHandshake, MemoryOfAnotherSizeThanItSaysOrAboveTheLimitIsRefused) {
  Bytes bytes = honest_bytes();
  bytes.resize(bytes.size() + 4096);
  EXPECT_THAT(greeted_with(memfd_of(bytes, kSeals)), HasSubstr("size"));
  bytes.resize(2 * 4096 - 8);
  EXPECT_THAT(greeted_with(memfd_of(bytes, kSeals)), HasSubstr("in whole pages"));
  EXPECT_THAT(greeted_with(memfd_of({}, kSeals)), HasSubstr("in whole pages"));
  SealedMemory large = SealedMemory::make(1 << 20, kMost);
  EXPECT_THAT(greeted_with(large.fd()), HasSubstr("at most"));
  // A hole would be filled from the victim's allowance.
  UniqueFd hollow(memfd_create("hollow", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  bytes = honest_bytes();
  const auto page = static_cast<ssize_t>(4096);
  ASSERT_EQ(pwrite(hollow.get(), bytes.data(), 4096, 0), page);
  ASSERT_EQ(ftruncate(hollow.get(), static_cast<off_t>(bytes.size())), 0);
  ASSERT_EQ(fcntl(hollow.get(), F_ADD_SEALS, kSeals), 0);
  EXPECT_THAT(greeted_with(hollow), HasSubstr("bytes of memory"));
}

TEST(SealedHandshake, AnyBrokenStampOrCapacityIsRefused) {
  const Bytes honest = honest_bytes();
  for (std::size_t i = 0; i < 88; ++i) {
    Bytes bytes = honest;
    bytes[i] ^= std::byte{0x40};
    EXPECT_NE(greeted_with(memfd_of(bytes, kSeals)), "") << "byte " << i << " of the stamp";
  }
  for (const std::uint64_t capacity : {0, 100, 1 << 20, 1 << 30}) {
    Bytes bytes = honest;
    std::memcpy(&bytes[kObjectOffset + internal::kSealedRing], &capacity, sizeof capacity);
    EXPECT_THAT(greeted_with(memfd_of(bytes, kSeals)), HasSubstr("byte ring")) << capacity;
  }
}

TEST(SealedHandshake, HugePagesAreRefused) {
  UniqueFd fd(memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB));
  if (!fd || ftruncate(fd.get(), 2 << 20) != 0 || fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    GTEST_SKIP() << "no huge pages on this machine";
  }
  EXPECT_THAT(greeted_with(fd), HasSubstr("ordinary pages"));
}

TEST(SealedHandshake, OtherMessagesAndDescriptorsAreRefusedAndClosed) {
  const UniqueFd memory = memfd_of(honest_bytes(), kSeals);
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  auto [one, two] = UnixSocket::pair();
  const int bell = one.get();
  using Fds = std::vector<int>;
  for (const Fds& fds : {Fds{}, Fds{memory.get()}, Fds{memory.get(), bell, bell},
                         Fds{bell, memory.get()}, Fds{memory.get(), null.get()}}) {
    EXPECT_NE(handshake_with([&](UnixSocket& socket) { send_hello(socket, fds); }), "");
  }
  const Bytes noise(4096, std::byte{7});
  for (const std::size_t size : {1, 15, 16, 17, 4096}) {
    EXPECT_NE(handshake_with([&](UnixSocket& socket) {
                const std::array fds = {memory.get(), bell};
                static_cast<void>(socket.send(std::span(noise).first(size), fds, 1s));
              }),
              "");
  }
  // The largest number that the kernel sends at once; the victim takes none.
  EXPECT_NE(handshake_with([&](UnixSocket& socket) { send_many(socket, memory.get(), 253); }), "");
}

TEST(SealedHandshake, SilenceAndDeathEndIt) {
  const auto start = Clock::now();
  EXPECT_THAT(handshake_with([](UnixSocket&) {}, 50ms), HasSubstr("deadline"));
  EXPECT_GE(Clock::now() - start, 50ms);
  EXPECT_THAT(handshake_with([](UnixSocket& socket) { socket.close(); }), HasSubstr("peer"));
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd other(ends[1]);
  EXPECT_THROW(SealedConnection::from_socket(UniqueFd(ends[0]), 1s), Error);
  EXPECT_THROW(SealedConnection::from_socket(UniqueFd(open("/dev/null", O_RDWR)), 1s), Error);
}

TEST(SealedHandshake, APeerThatSaysNothingKeepsAListenerForASecondAtMost) {
  const std::string address = fresh_address();
  SealedListener listener(address);
  const UnixSocket silent = UnixSocket::connect(address, 1s);
  const auto start = Clock::now();
  EXPECT_THROW(static_cast<void>(listener.accept(60s)), Error);
  EXPECT_LT(Clock::now() - start, 30s);
  std::optional<SealedConnection> next;
  const std::jthread client([&] {
    run_reporting(
        [&] { EXPECT_EQ(SealedConnection::connect(address, 20s).send("x"), Status::ok); });
  });
  next = listener.accept(20s);
  EXPECT_TRUE(next) << "the next is served";
}

// -------------------------------------------------------------------------------------------------
// What nobody else can write

TEST(SealedBorder, WhoGetsTheDescriptorCanOnlyRead) {
  SealedMemory mine = SealedMemory::make(kCapacity, kMost);
  const int fd = mine.fd().get();
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const UniqueFd anew(open(path.c_str(), O_RDWR | O_CLOEXEC));
  for (const int each : {fd, anew.get()}) {
    EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, each, 0), MAP_FAILED);
    EXPECT_EQ(pwrite(each, "x", 1, 0), -1);
    EXPECT_EQ(ftruncate(each, 0), -1);
    EXPECT_EQ(fallocate(each, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    void* const seen = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, each, 0);
    ASSERT_NE(seen, MAP_FAILED);
    EXPECT_EQ(mprotect(seen, 4096, PROT_READ | PROT_WRITE), -1);
    munmap(seen, 4096);
  }
  EXPECT_EQ(ByteRing::Producer(mine.ring()).try_write(0, {}), Status::ok) << "its maker still can";
}

// -------------------------------------------------------------------------------------------------
// In use

class SealedHostile : public testing::Test {
 protected:
  SealedHostile() : peer_(kOptions), end_(peer_.meet(kOptions)) {}

  void put(std::uint32_t type, const Bytes& bytes) {
    ASSERT_EQ(
        ByteRing::Producer(peer_.memory().ring(), peer_.read_by_victim()).try_write(type, bytes),
        Status::ok);
  }
  void put_first_part(std::uint64_t total, std::size_t data) {
    Bytes bytes(internal::kFirstPartHeader + data);
    std::memcpy(bytes.data(), &total, sizeof total);
    put(internal::kFirstPart, bytes);
  }
  Status received() {
    Bytes bytes;
    const Status status = end_.recv(bytes, Deadline::now());
    EXPECT_LE(bytes.capacity(), 2 * kMost);
    return status;
  }

  SealedPeer peer_;
  SealedConnection end_;
};

TEST_F(SealedHostile, PartsThatLieAboutTheirMessageAreCorruptOrDropped) {
  put_first_part(std::uint64_t{1} << 60, 8);
  EXPECT_EQ(received(), Status::corrupt) << "beyond the longest message";
  EXPECT_EQ(end_.skip(), Status::ok);
  put_first_part(8, 8);
  EXPECT_EQ(received(), Status::corrupt) << "whole, and so no part";
  EXPECT_EQ(end_.skip(), Status::ok);
  put(internal::kFirstPart, Bytes(15));
  EXPECT_EQ(received(), Status::corrupt) << "without a header";
  EXPECT_EQ(end_.skip(), Status::ok);
  put(internal::kNextPart, Bytes(10));
  EXPECT_EQ(received(), Status::timeout) << "the rest of something";
  put_first_part(20, 8);
  put(internal::kNextPart, Bytes(13));
  EXPECT_EQ(received(), Status::corrupt) << "more than was announced";
  EXPECT_EQ(end_.skip(), Status::ok);
  put(0, Bytes(3));
  EXPECT_EQ(received(), Status::ok);
}

TEST_F(SealedHostile, AMessageIsNotMadeLongerThanTheReceiverTakes) {
  SealedPeer peer(kOptions);
  auto end = peer.meet({.capacity = kCapacity, .max_message = 100, .max_peer_capacity = 4096});
  ASSERT_EQ(
      ByteRing::Producer(peer.memory().ring(), peer.read_by_victim()).try_write(0, Bytes(101)),
      Status::ok);
  Bytes bytes;
  EXPECT_EQ(end.recv(bytes, Deadline::now()), Status::corrupt);
}

TEST_F(SealedHostile, AReaderThatSaysWhatItCannotHaveReadIsCorrupt) {
  for (const std::uint64_t head : {std::uint64_t{1} << 40, std::uint64_t{1} << 63}) {
    SealedPeer peer(kOptions);
    auto end = peer.meet(kOptions);
    std::memcpy(peer.memory().progress().data(), &head, sizeof head);
    Status status = Status::ok;
    for (int i = 0; i < 100 && status == Status::ok; ++i) status = end.try_send(Bytes(50));
    EXPECT_EQ(status, Status::corrupt);
  }
}

TEST_F(SealedHostile, AStateThatIsNoneIsCorrupt) {
  peer_.write(136, 77);
  EXPECT_EQ(end_.send("x"), Status::corrupt);
  EXPECT_EQ(received(), Status::corrupt);
}

TEST_F(SealedHostile, AStateThatComesAndGoesMakesNoRoom) {
  std::atomic<bool> done = false;
  std::jthread flickerer([&] {
    for (std::uint64_t state = 1; !done; state = 3 - state) peer_.write(136, state);
  });
  // In one piece, and in parts.
  const Bytes large(kOptions.max_message);
  int changes = 0;
  for (Status before = Status::ok; changes < 20'000;) {
    const Status status = changes % 2 == 0 ? end_.try_send("some text") : end_.send(large, 0ms);
    changes += std::exchange(before, status) != status ? 1 : 0;
  }
  done = true;
}

TEST_F(SealedHostile, ADeadlineHoldsWhateverThePeerDoesMeanwhile) {
  std::atomic<bool> done = false;
  std::jthread scribbler([&] {
    std::mt19937_64 random(1);
    while (!done) {
      // Rests of messages, announcements, bells, descriptors, all the time.
      peer_.write(internal::kSealedRing + 384 + random() % (kCapacity / 8) * 8,
                  std::uint64_t{1} << 63 | internal::kNextPart);
      peer_.write(128, random());
      peer_.ring_bells();
      peer_.socket().ring();
    }
  });
  for (const WaitMode mode : {WaitMode::block, WaitMode::adaptive, WaitMode::spin}) {
    const ScopedWaitPolicy policy({.mode = mode});
    const auto start = Clock::now();
    Bytes bytes;
    Status status = Status::ok;
    while (Clock::now() - start < 200ms) status = end_.recv(bytes, 20ms);
    while (Clock::now() - start < 400ms) status = end_.send(Bytes(3000), 20ms);
    EXPECT_LT(Clock::now() - start, 10s) << status;
  }
  done = true;
}

TEST_F(SealedHostile, WhatIsNoDescriptorIsCorruptAndTheNextIsGiven) {
  const std::byte wrong{'G'};
  const std::byte right{'F'};
  const int fd = 0;
  const std::array two = {fd, fd};
  UniqueFd got;
  ASSERT_EQ(peer_.socket().send({&right, 1}, {}, 1s), Status::ok);
  EXPECT_EQ(end_.recv_fd(got), Status::corrupt) << "PC7: none came with it";
  ASSERT_EQ(peer_.socket().send({&wrong, 1}, {&fd, 1}, 1s), Status::ok);
  EXPECT_EQ(end_.recv_fd(got), Status::corrupt);
  ASSERT_EQ(peer_.socket().send({&right, 1}, two, 1s), Status::ok);
  EXPECT_EQ(end_.recv_fd(got), Status::corrupt);
  send_many(peer_.socket(), fd, 200);
  EXPECT_EQ(end_.recv_fd(got), Status::corrupt);
  EXPECT_FALSE(got);
  ASSERT_EQ(peer_.socket().send({&right, 1}, {&fd, 1}, 1s), Status::ok);
  EXPECT_EQ(end_.recv_fd(got), Status::ok);
}

TEST_F(SealedHostile, DescriptorsSentWhereNoneBelongDoNotStay) {
  for (int i = 0; i < 50; ++i) send_many(peer_.out_bell(), 0, 100);
  Bytes bytes;
  EXPECT_EQ(end_.recv(bytes, 50ms), Status::timeout);  // hears the bells, and nothing stays
}

TEST_F(SealedHostile, AClosedBellEndsTheWait) {
  peer_.close_bells();
  Bytes bytes;
  EXPECT_THAT(end_.recv(bytes, 20s), testing::AnyOf(Status::closed, Status::peer_died));
}

std::size_t resident_kib() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  file >> total >> resident;
  return resident * 4;
}

TEST(SealedHostileMemory, AnnouncedLengthsCostNothing) {
  constexpr std::size_t kLong = std::size_t{1} << 31;
  SealedPeer peer(kOptions);
  auto end = peer.meet({.capacity = kCapacity, .max_message = kLong, .max_peer_capacity = 4096});
  const std::size_t before = resident_kib();
  for (int i = 0; i < 100; ++i) {
    Bytes bytes(internal::kFirstPartHeader + 8);
    const std::uint64_t total = kLong;
    std::memcpy(bytes.data(), &total, sizeof total);
    ASSERT_EQ(ByteRing::Producer(peer.memory().ring(), peer.read_by_victim())
                  .try_write(internal::kFirstPart, bytes),
              Status::ok);
    EXPECT_EQ(end.recv(bytes, Deadline::now()), Status::timeout);
  }
  EXPECT_LT(resident_kib(), before + 64 * 1024);
}

void use(SealedConnection& end, std::mt19937_64& random) {
  Bytes bytes;
  std::uint64_t value = 0;
  std::vector<std::string> values;
  UniqueFd fd;
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
    case 6:
      static_cast<void>(end.recv_fd(fd, Deadline::now()));
      break;
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
    case 11:
      static_cast<void>(end.descriptor());
      break;
    default:
      static_cast<void>(end.recv(bytes, 1us));
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

void scribble(SealedPeer& peer, std::mt19937_64& random) {
  const std::size_t words = peer.memory().object().size() / 8;
  // The ring more often than the control words, whose garbage ends everything.
  const std::size_t first = random() % 20 == 0 ? 0 : (internal::kSealedRing + 384) / 8;
  peer.write((first + random() % (words - first)) * 8, some_word(random));
}

TEST(SealedHostileRandom, WordsAreSurvived) {
  for (std::uint64_t round = 0; round < 300; ++round) {
    std::mt19937_64 random(round);
    SealedPeer peer(kOptions);
    auto end = peer.meet(kOptions);
    for (int step = 0; step < 60; ++step) {
      use(end, random);
      if (random() % 3 != 0) scribble(peer, random);
    }
  }
}

TEST(SealedHostileRandom, WordsWrittenMeanwhileAreSurvived) {
  for (std::uint64_t round = 0; round < 12; ++round) {
    SealedPeer peer(kOptions);
    auto end = peer.meet(kOptions);
    std::atomic<bool> done = false;
    std::jthread scribbler([&] {
      std::mt19937_64 random(round);
      while (!done) scribble(peer, random);
    });
    std::mt19937_64 random(round + 1000);
    for (int step = 0; step < 3000; ++step) use(end, random);
    done = true;
  }
}

}  // namespace
}  // namespace sluice::tests
