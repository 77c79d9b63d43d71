// SPDX-License-Identifier: Apache-2.0
//
// An end of a connection, its process killed after every instruction that matters: while it sends
// and receives a message in parts, while it writes and reads in place, while it takes its end and
// gives it up.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/item.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using testkit::CrashOperation;
using testkit::SharedArea;

constexpr std::size_t kCapacity = 256;
constexpr std::size_t kShort = 8;
constexpr std::size_t kLong = 120;  // in three parts, which fit beside what else is there
constexpr std::size_t kPart = 48;
constexpr std::uint64_t kOther = 300;  // that of who interferes, or recovers and dies, too
constexpr std::uint64_t kOwn = 200;    // the survivor's

/// A message that tells when bytes of another one are in it.
std::string message(std::uint64_t number, std::size_t size = kShort) {
  std::string text = std::to_string(number) + ":";
  while (text.size() < size) text += static_cast<char>('a' + (number + text.size()) % 26);
  return text;
}

/// Its number; 0 if it is torn.
std::uint64_t number_in(const std::string& text) {
  const std::uint64_t number = std::strtoull(text.c_str(), nullptr, 10);
  return text == message(number, kShort) || text == message(number, kLong) ? number : 0;
}

/// What processes tell the survivor, beside the connection.
struct Notes {
  std::atomic<std::uint64_t> taken, other_put, other_takes;
};

/// The bytes of a connection, as another mapping of the test's.
class Memory {
 public:
  explicit Memory(const Connection& end) {
    const UniqueFd fd = end.fd();
    struct stat s = {};
    if (fstat(fd.get(), &s) != 0) throw std::runtime_error("fstat");
    size_ = static_cast<std::size_t>(s.st_size);
    void* const address = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (address == MAP_FAILED) throw std::runtime_error("mmap");
    memory_ = static_cast<std::byte*>(address);
    start_.assign(memory_, memory_ + size_);
  }
  ~Memory() { munmap(memory_, size_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /// Puts back what was there at first: a connection that nobody has used.
  void reset() { std::copy(start_.begin(), start_.end(), memory_); }

  [[nodiscard]] std::span<std::byte> object() const {
    return {memory_ + kObjectOffset, size_ - kObjectOffset};
  }
  /// The ring of what the first end sends.
  [[nodiscard]] std::span<std::byte> ring() const {
    const std::size_t ring = ByteRing::bytes_for(kCapacity);
    return object().subspan(internal::kConnectionRingOffset + ring, ring);
  }

 private:
  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
  std::vector<std::byte> start_;
};

void put(std::span<std::byte> ring, std::uint32_t type, const std::string& text) {
  if (ByteRing::Producer(ring).try_write(type, std::as_bytes(std::span(text))) != Status::ok) {
    throw std::logic_error("no room to begin with");
  }
}

/// As an end sends it: a first part, and next ones.
void put_in_parts(std::span<std::byte> ring, const std::string& text) {
  std::string first(internal::kFirstPartHeader, '\0');
  const std::uint64_t total = text.size();
  std::memcpy(first.data(), &total, sizeof total);
  std::size_t at = kPart - first.size();
  put(ring, internal::kFirstPart, first + text.substr(0, at));
  for (; at < text.size(); at += kPart) put(ring, internal::kNextPart, text.substr(at, kPart));
}

using Verdict = std::function<std::string(bool completed, const Numbers& found)>;

class ConnectionCrash : public testing::Test {
 protected:
  ConnectionCrash()
      : pair_(Connection::pair({.capacity = kCapacity, .max_message = 4096})),
        memory_(pair_.first) {}

  /// Takes everything; the numbers go to `numbers`.
  static std::string drain(Connection& end, Numbers& numbers) {
    std::string text;
    for (;;) {
      const Status status = end.try_recv(text);
      if (status == Status::empty || status == Status::closed || status == Status::peer_died) {
        return "";
      }
      if (status != Status::ok) return "try_recv: " + std::string(to_string(status));
      numbers.push_back(number_in(text));
      if (numbers.back() == 0) return "a torn message: " + text.substr(0, 40);
      if (numbers.size() > 100) return "without end: " + to_text(numbers);
    }
  }

  /// The survivor takes both ends over, and looks first or sends first.
  std::string succeed(bool look_first, Numbers& found) {
    if (look_first) {
      if (const std::string wrong = drain(pair_.second, found); !wrong.empty()) return wrong;
    }
    if (const Status s = pair_.first.try_send(message(kOwn)); s != Status::ok) {
      return "the successor can't send: " + std::string(to_string(s));
    }
    if (const std::string wrong = drain(pair_.second, found); !wrong.empty()) return wrong;
    if (found.empty() || found.back() != kOwn) return "its own is not last: " + to_text(found);
    found.pop_back();
    return long_ones_pass();
  }

  std::string long_ones_pass() {
    for (int i = 0; i < 3; ++i) {
      std::string text;
      if (pair_.first.send(message(kOwn, kLong), Deadline::now()) != Status::ok ||
          pair_.second.try_recv(text) != Status::ok || text != message(kOwn, kLong)) {
        return "a long message does not pass any more";
      }
    }
    return pair_.second.send("back") == Status::ok && pair_.first.poll() ? "" : "no way back";
  }

  /// `found`, as it would be had the process that interfered or recovered not been there.
  std::string without_other(Numbers& found) const {
    if (!found.empty() && found.back() == kOther) {
      found.pop_back();
    } else if (notes_->other_put != 0) {
      return "what another process had sent is not in " + to_text(found);
    }
    const std::uint64_t taken = notes_->other_takes;
    if (taken != 0 && (found.empty() || found.front() != taken)) found.insert(found.begin(), taken);
    return "";
  }

  void other_sends() {
    if (pair_.first.try_send(message(kOther)) == Status::ok) notes_->other_put = kOther;
  }
  /// It notes what it takes first: dead in between, it may have taken it or not.
  void other_receives() {
    std::string text;
    {
      auto message = pair_.second.peek(Deadline::now());
      if (message) {
        text.resize(message.bytes().size());
        std::memcpy(text.data(), message.bytes().data(), text.size());
        notes_->other_takes = number_in(text);
        return message.release();
      }
      if (message.status() != Status::too_large) return;
    }
    notes_->other_takes = 7;  // the only one that travels in parts and is whole
    static_cast<void>(pair_.second.recv(text, Deadline::now()));
  }

  enum class Victim : std::uint8_t { sends, receives };

  CrashOperation on_connection(std::string name, Victim victim, std::function<void()> before,
                               std::function<void()> operation, Verdict verdict) {
    CrashOperation op{.name = std::move(name)};
    op.shared = {memory_.object(), notes_.bytes()};
    op.setup = [=, this, before = std::move(before)] {
      memory_.reset();
      notes_.reset();
      before();
    };
    op.prepare = [=, this] { use(victim == Victim::sends ? pair_.first : pair_.second); };
    // Taking an end over is an operation of its own, below, and a long one.
    op.prepare_recovery = op.prepare;
    op.operation = std::move(operation);
    const auto sends = [this] { other_sends(); };
    const auto receives = [this] { other_receives(); };
    const bool sender = victim == Victim::sends;
    op.interfere = sender ? std::function<void()>(receives) : sends;
    op.recover = sender ? std::function<void()>(sends) : receives;
    op.survivor = [this, verdict = std::move(verdict)](bool completed) -> std::string {
      Numbers found;
      std::string wrong = succeed(look_first_, found);
      if (wrong.empty()) wrong = without_other(found);
      return wrong.empty() ? verdict(completed, found) : wrong;
    };
    return op;
  }

  /// For survivors that look first, and for those that send first; these without second deaths,
  /// which take longest.
  void expect_intact_for_both(CrashOperation op) {
    look_first_ = true;
    expect_intact(op);
    look_first_ = false;
    op.recover = nullptr;
    expect_intact(op);
  }

  /// The first use of an end, which claims it.
  static void use(Connection& end) { static_cast<void>(end.poll()); }

  CrashOperation send_of_7(std::string name, std::function<void()> operation) {
    return on_connection(std::move(name), Victim::sends, with_100_and_101(), std::move(operation),
                         [](bool completed, const Numbers& found) {
                           const Numbers with = {100, 101, 7};
                           return unless_one_of({completed ? with : Numbers{100, 101}, with},
                                                found);
                         });
  }

  std::function<void()> with_100_and_101() {
    return [this] {
      put(memory_.ring(), 0, message(100));
      put(memory_.ring(), 0, message(101));
    };
  }

  SharedArea<Notes> notes_;
  ConnectionPair pair_;
  Memory memory_;
  bool look_first_ = true;
};

// -------------------------------------------------------------------------------------------------
// Sending

TEST_F(ConnectionCrash, SendInParts) {
  const std::string text = message(7, kLong);
  expect_intact_for_both(send_of_7("connection send in parts",
                                   [this, text] { static_cast<void>(pair_.first.send(text)); }));
}

TEST_F(ConnectionCrash, MutantWhosePartsAreMessagesIsFound) {
  const std::string text = message(7, kLong);
  expect_found(send_of_7("mutant: send whose parts are messages",
                         [this, text] {
                           for (std::size_t at = 0; at < text.size(); at += kPart) {
                             static_cast<void>(pair_.first.send(text.substr(at, kPart)));
                           }
                         }),
               "a torn message");
}

TEST_F(ConnectionCrash, ReserveAndCommit) {
  const std::string text = message(7);
  expect_intact_for_both(send_of_7("connection reserve, commit", [this, text] {
    auto room = pair_.first.reserve(text.size());
    std::memcpy(room.bytes().data(), text.data(), text.size());
    room.commit();
  }));
}

TEST_F(ConnectionCrash, MutantThatCommitsBeforeItWritesIsFound) {
  const std::string text = message(7);
  expect_found(send_of_7("mutant: reserve that commits before it writes",
                         [this, text] {
                           auto room = pair_.first.reserve(text.size());
                           room.commit();
                           // Only for the compiler, which might mend the bug.
                           std::atomic_signal_fence(std::memory_order_seq_cst);
                           std::memcpy(room.bytes().data(), text.data(), text.size());
                         }),
               "a torn message");
}

// -------------------------------------------------------------------------------------------------
// Receiving

TEST_F(ConnectionCrash, ReceiveInParts) {
  std::string text;
  text.reserve(2 * kLong);
  expect_intact_for_both(on_connection(
      "connection receive in parts", Victim::receives,
      [this] {
        put_in_parts(memory_.ring(), message(7, kLong));
        put(memory_.ring(), 0, message(101));
      },
      [this, &text] {
        if (pair_.second.recv(text) == Status::ok) notes_->taken = number_in(text);
      },
      [this](bool completed, const Numbers& found) -> std::string {
        if (completed && notes_->taken != 7) return "not received, or torn";
        // Whoever had begun to take it has it, or nobody.
        if (completed) return unless_one_of({{101}}, found);
        return unless_one_of({{7, 101}, {101}}, found);
      }));
}

TEST_F(ConnectionCrash, PeekAndRelease) {
  expect_intact_for_both(on_connection(
      "connection peek, release", Victim::receives, with_100_and_101(),
      [this] {
        auto message = pair_.second.peek();
        notes_->taken = message.bytes().size();
        message.release();
      },
      [this](bool completed, const Numbers& found) -> std::string {
        if (completed) return unless_one_of({{101}}, found);
        if (notes_->taken == 0) return unless_one_of({{100, 101}}, found);
        return unless_one_of({{100, 101}, {101}}, found);
      }));
}

TEST_F(ConnectionCrash, MutantThatReleasesBeforeUseIsFound) {
  expect_found(
      on_connection(
          "mutant: peek that releases before the use", Victim::receives, with_100_and_101(),
          [this] {
            auto message = pair_.second.peek();
            message.release();
            // Only for the compiler, which might mend the bug.
            std::atomic_signal_fence(std::memory_order_seq_cst);
            notes_->taken = message.bytes().size();
          },
          [this](bool completed, const Numbers& found) -> std::string {
            if (completed) return unless_one_of({{101}}, found);
            if (notes_->taken == 0) return unless_one_of({{100, 101}}, found);
            return unless_one_of({{100, 101}, {101}}, found);
          }),
      "found [101]");
}

// -------------------------------------------------------------------------------------------------
// Whose an end is

TEST_F(ConnectionCrash, TakingAnEnd) {
  CrashOperation op = on_connection(
      "connection, taking an end", Victim::sends, with_100_and_101(), [this] { use(pair_.first); },
      [](bool, const Numbers& found) { return unless_one_of({{100, 101}}, found); });
  op.prepare = [] { static_cast<void>(participant::self()); };
  op.recover = nullptr;  // which would be the same, and takes minutes
  expect_intact_for_both(op);
}

TEST_F(ConnectionCrash, ClosingAnEnd) {
  expect_intact_for_both(on_connection(
      "connection, closing an end", Victim::sends, with_100_and_101(),
      [this] { pair_.first.close(); },
      [](bool, const Numbers& found) { return unless_one_of({{100, 101}}, found); }));
}

}  // namespace
}  // namespace sluice::tests
