// SPDX-License-Identifier: Apache-2.0
//
// Kills a process in the middle of the handshake of a sealed connection, of sending and of
// receiving: the peer gets whole messages, those whose sending had returned among them, and memory
// that is complete or none.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/sealed_connection.h"
#include "sluice/ipc/sealed_memory.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/unix_socket.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/kill_table.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/sealed_peer.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::SealedMemory;
using internal::UnixSocket;
using testkit::CrashOperation;
using testkit::SharedArea;

constexpr SealedOptions kOptions = {
    .capacity = 1024, .max_message = 4096, .max_peer_capacity = 4096};
constexpr std::size_t kLong = 520;  // above what fits in one piece

/// A message that shows whether it is whole: its letter all through.
std::string message(char letter, std::size_t size = 40) { return std::string(size, letter); }

bool is_whole(const std::string& text) {
  return !text.empty() && text.find_first_not_of(text[0]) == std::string::npos &&
         (text.size() == 40 || text.size() == kLong);
}

/// The memory of the sealed connections of this process, as it writes it.
std::vector<std::span<std::byte>> sealed_mappings() {
  std::vector<std::span<std::byte>> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("memfd:sluice-sealed") == std::string::npos) continue;
    std::istringstream fields(line);
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    char dash = 0;
    std::string rights;
    fields >> std::hex >> from >> dash >> to >> rights;
    if (rights == "rw-s") found.emplace_back(reinterpret_cast<std::byte*>(from), to - from);
  }
  return found;
}

class SealedCrash : public testing::Test {
 protected:
  SealedCrash() : pair_(SealedConnection::pair(kOptions)), mapped_(sealed_mappings()) {
    if (mapped_.size() != 2) throw std::logic_error("not the memory of one connection");
    keep();
  }

  /// The memory as it is becomes the start of each round.
  void keep() {
    kept_.clear();
    for (const auto memory : mapped_) kept_.emplace_back(memory.begin(), memory.end());
  }

  CrashOperation on_connection(std::string name, std::function<void()> operation,
                               std::function<std::string(bool)> survivor) {
    CrashOperation op{.name = std::move(name)};
    op.shared = {mapped_[0].subspan(kObjectOffset), mapped_[1].subspan(kObjectOffset),
                 notes_.bytes()};
    op.setup = [this] {
      for (std::size_t i = 0; i < mapped_.size(); ++i) {
        // The stamp does not change.
        std::ranges::copy(std::span(kept_[i]).subspan(kObjectOffset),
                          mapped_[i].subspan(kObjectOffset).begin());
      }
      notes_.reset();
    };
    op.operation = std::move(operation);
    op.survivor = std::move(survivor);
    return op;
  }

  CrashOperation send_of(std::string name, std::function<void()> operation) {
    CrashOperation op =
        on_connection(std::move(name), std::move(operation), [this](bool completed) -> std::string {
          std::string text;
          const Status status = pair_.second.recv(text, Deadline::now());
          if (status == Status::ok && !is_whole(text)) return "a torn message: " + text;
          if (status == Status::ok) return "";
          if (completed) return "acknowledged but lost: " + std::string(to_string(status));
          return status == Status::timeout ? "" : "recv: " + std::string(to_string(status));
        });
    op.prepare = [this] { static_cast<void>(pair_.first.poll()); };  // claims it
    return op;
  }

  struct Notes {
    std::uint64_t taken;
  };

  SharedArea<Notes> notes_;
  SealedPair pair_;
  std::vector<std::span<std::byte>> mapped_;
  std::vector<std::vector<std::byte>> kept_;
};

// -------------------------------------------------------------------------------------------------

TEST_F(SealedCrash, Send) {
  expect_intact(send_of(
      "sealed send", [this, text = message('a')] { static_cast<void>(pair_.first.send(text)); }));
}

TEST_F(SealedCrash, SendInParts) {
  expect_intact(send_of("sealed send in parts", [this, text = message('a', kLong)] {
    static_cast<void>(pair_.first.send(text, Deadline::now()));
  }));
}

TEST_F(SealedCrash, MutantWhosePartsAreMessagesIsFound) {
  expect_found(send_of("mutant: sealed send whose parts are messages",
                       [this, text = message('a', 200)] {
                         for (std::size_t at = 0; at < text.size(); at += 100) {
                           static_cast<void>(pair_.first.send(text.substr(at, 100)));
                         }
                       }),
               "a torn message");
}

TEST_F(SealedCrash, Receive) {
  // Somebody has sent: a process of its own, since an end has one user.
  ChildParty sender([this] {
    ASSERT_EQ(pair_.first.send(message('a', kLong), 5s), Status::ok);
    ASSERT_EQ(pair_.first.send(message('b')), Status::ok);
  });
  sender.finish();
  keep();
  CrashOperation op = on_connection(
      "sealed receive",
      [this] {
        std::string text;
        if (pair_.second.recv(text, Deadline::now()) == Status::ok) notes_->taken += text.size();
        if (pair_.second.recv(text, Deadline::now()) == Status::ok) notes_->taken += text.size();
      },
      [this](bool completed) -> std::string {
        if (completed && notes_->taken != kLong + 40) return "not received";
        // What it says to have read ends where a record ends, or the sender could not go on.
        try {
          for (const std::size_t i : {0, 1}) {
            const auto ring = mapped_[i].subspan(kObjectOffset + internal::kSealedRing);
            const auto progress = mapped_[1 - i].subspan(kObjectOffset + internal::kSealedProgress,
                                                         ByteRing::kProgressBytes);
            ByteRing::Producer producer(ring, progress);
            ByteRing::Consumer consumer(ring, progress);
            while (const auto record = consumer.try_peek()) consumer.release();
            if (consumer.status() != Status::empty) return "no record where it stopped";
            if (producer.try_write(0, {}) != Status::ok) return "no way to go on";
          }
        } catch (const Error& e) {
          return e.what();
        }
        return "";
      });
  op.prepare = [this] { static_cast<void>(pair_.second.poll()); };
  expect_intact(op);
}

// -------------------------------------------------------------------------------------------------
// The handshake

class SealedHandshakeCrash : public testing::Test {
 protected:
  /// The victim's peer has greeted already; the survivor looks at what the victim has sent.
  CrashOperation handshake(std::string name, std::function<void()> operation) {
    CrashOperation op{.name = std::move(name)};
    op.setup = [this] {
      sockets_.emplace(UnixSocket::pair());
      auto [kept, sent] = UnixSocket::pair();
      kept_.emplace(std::move(kept));
      send_hello(sockets_->first, {memory_.fd().get(), sent.get()});
    };
    op.operation = std::move(operation);
    op.survivor = [this](bool completed) -> std::string {
      std::array<std::byte, 16> hello = {};
      std::size_t size = 0;
      std::vector<UniqueFd> fds;
      const Status status = sockets_->first.recv(hello, size, fds, Deadline::now());
      if (status == Status::timeout) return completed ? "it has not greeted" : "";
      if (status != Status::ok || fds.size() != 2) return "half a greeting";
      try {
        const SealedMemory theirs = SealedMemory::attach(std::move(fds[0]), 1 << 20);
        ByteRing::Consumer consumer(theirs.ring(), memory_.progress());
        static_cast<void>(consumer.try_peek());
        return consumer.status() == Status::empty ? "" : "a message that nobody sent";
      } catch (const Error& e) {
        return e.what();
      }
    };
    return op;
  }

  SealedMemory memory_ = SealedMemory::make(kOptions.capacity, kOptions.max_message);
  std::optional<std::pair<UnixSocket, UnixSocket>> sockets_;
  std::optional<UnixSocket> kept_;
};

TEST_F(SealedHandshakeCrash, ThePeerGetsCompleteMemoryOrNone) {
  expect_intact(handshake("sealed handshake",
                          [this] {
                            static_cast<void>(SealedConnection::from_socket(
                                UniqueFd(dup(sockets_->second.get())), 5s, kOptions));
                          }),
                testkit::KillAt::each_system_call);
}

TEST_F(SealedHandshakeCrash, MutantThatSendsItsMemoryBeforeItIsSealedIsFound) {
  expect_found(handshake("mutant: handshake that seals what it has sent",
                         [this] {
                           UniqueFd fd(memfd_create("mutant", MFD_CLOEXEC | MFD_ALLOW_SEALING));
                           const auto whole = memory_.object().size() + kObjectOffset;
                           const std::byte* const from = memory_.object().data() - kObjectOffset;
                           static_cast<void>(write(fd.get(), from, whole) > 0);
                           send_hello(sockets_->second, {fd.get(), kept_->get()});
                           fcntl(fd.get(), F_ADD_SEALS,
                                 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | 0x0010);
                         }),
               "sealed against", testkit::KillAt::each_system_call);
}

}  // namespace
}  // namespace sluice::tests
