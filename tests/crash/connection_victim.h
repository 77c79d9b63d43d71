// SPDX-License-Identifier: Apache-2.0
//
// A connection whose ends are killed in the midst of an operation, and survivors that take both of
// them over and look at every message: what the crash tests of connections have in common.

#ifndef SLUICE_TESTS_CRASH_CONNECTION_VICTIM_H_
#define SLUICE_TESTS_CRASH_CONNECTION_VICTIM_H_

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
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
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/item.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {

using testkit::CrashOperation;
using testkit::SharedArea;

inline constexpr std::size_t kCapacity = 256;
inline constexpr std::size_t kShort = 8;
inline constexpr std::size_t kLong = 120;  // in three parts, which fit beside what else is there
inline constexpr std::size_t kPart = 48;
inline constexpr std::uint64_t kOther = 300;  // that of who interferes, or recovers and dies, too
inline constexpr std::uint64_t kOwn = 200;    // the survivor's

/// A message that tells when bytes of another one are in it.
inline std::string message(std::uint64_t number, std::size_t size = kShort) {
  std::string text = std::to_string(number) + ":";
  while (text.size() < size) text += static_cast<char>('a' + (number + text.size()) % 26);
  return text;
}

/// Its number; 0 if it is torn.
inline std::uint64_t number_in(const std::string& text) {
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

inline void put(std::span<std::byte> ring, std::uint32_t type, const std::string& text) {
  if (ByteRing::Producer(ring).try_write(type, std::as_bytes(std::span(text))) != Status::ok) {
    throw std::logic_error("no room to begin with");
  }
}

/// As an end sends it: a first part, and next ones.
inline void put_in_parts(std::span<std::byte> ring, const std::string& text) {
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

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_CRASH_CONNECTION_VICTIM_H_
