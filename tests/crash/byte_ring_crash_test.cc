// SPDX-License-Identifier: Apache-2.0
//
// The byte ring, its producer or consumer killed after every instruction that matters; in the
// middle of the storage, and where a record does not fit before its end and a pad is written.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/env.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/tests/crash/item.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using testkit::CrashOperation;
using testkit::SharedArea;

constexpr std::size_t kCapacity = 256;
constexpr std::size_t kSmall = 16;     // bytes that a record of 8 covers
constexpr std::size_t kRecord = 32;    // bytes that a record of an Item covers
constexpr std::uint64_t kOther = 300;  // that of who interferes, or recovers and dies, too
constexpr std::uint64_t kOwn = 200;    // the survivor's first record

// Where the ring stands before the numbered records of a test are written: it has gone round once.
constexpr std::size_t kMidway = kCapacity + kRecord;
// Two records more, and 16 bytes are left before the storage ends: the third needs a pad.
constexpr std::size_t kTwoBeforeThePad = kCapacity + 176;
constexpr std::size_t kAtThePad = kTwoBeforeThePad + 2 * kRecord;

using Memory = std::array<std::byte, 1024>;

struct Shared {
  alignas(kNoSharing) Memory memory;
  // How many records the victim has got, and their sum (which makes it read them). For the
  // survivor, which is started after the victim's end.
  std::atomic<std::uint64_t> taken, sum;
  // Of a process that comes before the survivor: the number that it has put in, and the one that it
  // is about to take out.
  std::atomic<std::uint64_t> other_put, other_takes;
};

std::span<const std::byte> bytes_of(const Item& item) { return std::as_bytes(std::span(&item, 1)); }

template <class Producer>
Status write(Producer& producer, std::uint64_t number) {
  const Item item = Item::of(number);
  return producer.try_write(static_cast<std::uint32_t>(number), bytes_of(item));
}

Item item_in(const ByteRing::Record& record) {
  Item item{};
  std::memcpy(&item, record.payload.data(), sizeof item);
  return item;
}

/// Reads until the ring is empty.
std::string drain(ByteRing::Consumer& consumer, Numbers& numbers) {
  while (const auto record = consumer.try_peek()) {
    if (record->payload.size() != sizeof(Item)) return "a record of another size";
    const Item item = item_in(*record);
    if (!item.is_whole() || record->type != item.number) return "a torn record";
    numbers.push_back(item.number);
    if (numbers.size() > 2 * kCapacity / kRecord) return "more than fits: " + to_text(numbers);
    consumer.release();
  }
  return consumer.status() == Status::empty ? "" : "after " + to_text(numbers) + " corrupt";
}

/// All of the storage can be used again.
std::string fill_and_empty(ByteRing::Producer& producer, ByteRing::Consumer& consumer) {
  Numbers written;
  Numbers read;
  for (std::uint64_t n = 900; write(producer, n) == Status::ok; ++n) written.push_back(n);
  // The room for one record may go to a pad, and the place of the next header stays free.
  if (written.size() < kCapacity / kRecord - 2) return "room for " + to_text(written) + " only";
  const std::string wrong = drain(consumer, read);
  return wrong.empty() ? unless_one_of({written}, read) : wrong;
}

/// What successors of both ends make of the ring: `found` gets the numbers that came out before the
/// successor's own. They look before anything is written, or take over and write first.
std::string succeed(std::span<std::byte> memory, bool look_first, Numbers& found) {
  ByteRing::Consumer consumer(memory);
  if (look_first) {
    if (const std::string wrong = drain(consumer, found); !wrong.empty()) return wrong;
  }
  ByteRing::Producer producer(memory);
  if (write(producer, kOwn) != Status::ok) return "the successor can't write";
  if (const std::string wrong = drain(consumer, found); !wrong.empty()) return wrong;
  if (found.empty() || found.back() != kOwn) {
    return "the successor's own record does not come out: " + to_text(found);
  }
  found.pop_back();
  return fill_and_empty(producer, consumer);
}

enum class Side : std::uint8_t { producer, consumer };

using Verdict = std::function<std::string(bool completed, const Numbers& found)>;

class ByteRingCrash : public testing::Test {
 protected:
  [[nodiscard]] std::span<std::byte> memory() const { return area_->memory; }

  /// An empty ring at position `start`, with old headers at every 16 bytes behind it, and then
  /// `numbers` in it.
  void start_with(std::size_t start, const Numbers& numbers) {
    area_.reset();
    ByteRing::format(memory(), kCapacity);
    ByteRing::Producer producer(memory());
    ByteRing::Consumer consumer(memory());
    for (std::size_t at = 0; at < start; at += kSmall) {
      ASSERT_EQ(producer.try_write(1, std::array<std::byte, 8>{}), Status::ok);
      ASSERT_TRUE(consumer.try_peek());
      consumer.release();
    }
    for (const std::uint64_t n : numbers) ASSERT_EQ(write(producer, n), Status::ok);
  }

  void other_puts() {
    ByteRing::Producer producer(memory());
    if (write(producer, kOther) == Status::ok) area_->other_put = kOther;
  }
  /// It notes what it takes first: dead in between, it may have taken it or not.
  void other_takes() {
    ByteRing::Consumer consumer(memory());
    const auto item = consumer.try_peek();
    if (!item) return;
    area_->other_takes = item_in(*item).number;
    consumer.release();
  }
  /// `found`, as it would be had that process not been there.
  std::string without_other(Numbers& found) const {
    if (!found.empty() && found.back() == kOther) {
      found.pop_back();
    } else if (area_->other_put != 0) {
      return "what another process had put in is not in " + to_text(found);
    }
    const std::uint64_t taken = area_->other_takes;
    if (taken != 0 && (found.empty() || found.front() != taken)) found.insert(found.begin(), taken);
    return "";
  }

  void take(const ByteRing::Record& record) {
    area_->sum += item_in(record).number;
    ++area_->taken;
  }
  [[nodiscard]] std::uint64_t taken() const { return area_->taken; }

  /// The survivor tries both orders, the first of them on a copy: the ring may lie anywhere.
  CrashOperation on_ring(std::string name, Side side, std::size_t start, Numbers before,
                         std::function<void()> operation, Verdict verdict) {
    CrashOperation op{.name = std::move(name)};
    op.shared = {area_.bytes()};
    op.setup = [=, this, before = std::move(before)] { start_with(start, before); };
    op.prepare = [this] {
      producer_.emplace(memory());
      consumer_.emplace(memory());
    };
    op.operation = std::move(operation);
    // While one side is frozen the other goes on; after a death a successor of the same side comes.
    const auto put = [this] { other_puts(); };
    const auto take = [this] { other_takes(); };
    op.interfere = side == Side::producer ? std::function<void()>(take) : put;
    op.recover = side == Side::producer ? std::function<void()>(put) : take;
    op.survivor = [this, verdict = std::move(verdict)](bool completed) -> std::string {
      alignas(kNoSharing) Memory copy = area_->memory;
      for (const bool look_first : {true, false}) {
        Numbers found;
        std::string wrong = succeed(look_first ? copy : memory(), look_first, found);
        if (wrong.empty()) wrong = without_other(found);
        if (wrong.empty()) wrong = verdict(completed, found);
        if (!wrong.empty()) return wrong;
      }
      return "";
    };
    return op;
  }

  CrashOperation write_of_7(std::string name, std::size_t start, std::function<void()> operation) {
    return on_ring(std::move(name), Side::producer, start, {100, 101}, std::move(operation),
                   [](bool completed, const Numbers& found) {
                     const Numbers with = {100, 101, 7};
                     return unless_one_of({completed ? with : Numbers{100, 101}, with}, found);
                   });
  }

  /// At least once: what the victim has not got comes again.
  CrashOperation read_of_100(std::string name, std::size_t start, std::function<void()> operation) {
    return on_ring(std::move(name), Side::consumer, start, {100, 101}, std::move(operation),
                   [this](bool completed, const Numbers& found) {
                     const Numbers with = {100, 101};
                     const Numbers without = {101};
                     if (completed) return unless_one_of({without}, found);
                     return unless_one_of({with, taken() == 1 ? without : with}, found);
                   });
  }

  std::function<void()> write_7() {
    return [this] { static_cast<void>(write(*producer_, 7)); };
  }
  std::function<void()> use_then_release() {
    return [this] {
      take(*consumer_->try_peek());
      consumer_->release();
    };
  }
  std::function<void()> release_then_use() {
    return [this] {
      const auto record = consumer_->try_peek();
      consumer_->release();
      // Only for the compiler, which might mend the bug.
      std::atomic_signal_fence(std::memory_order_seq_cst);
      take(*record);
    };
  }

  SharedArea<Shared> area_;
  std::optional<ByteRing::Producer> producer_;
  std::optional<ByteRing::Consumer> consumer_;
};

/// The operation of a mutant whose producer works through another environment.
template <class Env>
CrashOperation& through(CrashOperation& op, std::span<std::byte> memory,
                        std::optional<typename BasicByteRing<Env>::Producer>& producer) {
  op.prepare = [&producer, memory] { producer.emplace(memory); };
  op.operation = [&producer] { static_cast<void>(write(*producer, 7)); };
  return op;
}

// -------------------------------------------------------------------------------------------------
// Write

TEST_F(ByteRingCrash, Write) { expect_intact(write_of_7("byte ring write", kMidway, write_7())); }

TEST_F(ByteRingCrash, WriteThatWraps) {
  start_with(kTwoBeforeThePad, {100, 101});
  ByteRing::Producer producer(memory());
  const std::uint64_t tail = ByteRing::counters(memory())->tail;
  ASSERT_EQ(write(producer, 7), Status::ok);
  ASSERT_EQ(ByteRing::counters(memory())->tail - tail, 16 + kRecord) << "no pad was written";
  expect_intact(write_of_7("byte ring write with a pad", kTwoBeforeThePad, write_7()));
}

TEST_F(ByteRingCrash, MutantThatCommitsBeforeThePayloadIsFound) {
  for (const std::size_t start : {kMidway, kTwoBeforeThePad}) {
    expect_found(write_of_7("mutant: write that commits before the payload", start,
                            [this] {
                              const Item item = Item::of(7);
                              const auto room = producer_->try_claim(sizeof item);
                              producer_->commit(7, sizeof item);
                              // Only for the compiler, which might mend the bug.
                              std::atomic_signal_fence(std::memory_order_seq_cst);
                              std::memcpy(room->data(), &item, sizeof item);
                            }),
                 "a torn record");
  }
}

/// Does not clear the place of the next header.
struct UnclearedEnv : internal::RealEnv {
  template <class T>
  static void store(internal::Word<T>& word, T value, std::memory_order order) noexcept {
    if (value != 0) RealEnv::store(word, value, order);
  }
};

TEST_F(ByteRingCrash, MutantThatDoesNotClearTheNextHeaderIsFound) {
  for (const std::size_t start : {kMidway, kTwoBeforeThePad}) {
    CrashOperation op =
        write_of_7("mutant: write that leaves the next header as it was", start, nullptr);
    std::optional<BasicByteRing<UnclearedEnv>::Producer> producer;
    expect_found(through<UnclearedEnv>(op, memory(), producer), "a record of another size");
  }
}

/// Writes the header behind a pad after the pad and not before it.
struct PadFirstEnv : internal::RealEnv {
  static inline internal::Word<std::uint64_t>* held_back = nullptr;
  static inline std::uint64_t held_value = 0;

  static void store(internal::Word<std::uint64_t>& word, std::uint64_t value,
                    std::memory_order order) noexcept {
    const bool committed = (value >> 63) != 0;
    // Relaxed is how the header behind a pad is told from the pad; nothing is ordered here.
    if (committed && order == std::memory_order_relaxed) {
      held_back = &word;
      held_value = value;
      return;
    }
    RealEnv::store(word, value, order);
    if (committed && held_back != nullptr) RealEnv::store(*held_back, held_value, order);
  }
};

TEST_F(ByteRingCrash, MutantThatCommitsThePadBeforeTheRecordIsFound) {
  CrashOperation op =
      write_of_7("mutant: write that commits the pad before the record", kTwoBeforeThePad, nullptr);
  std::optional<BasicByteRing<PadFirstEnv>::Producer> producer;
  expect_found(through<PadFirstEnv>(op, memory(), producer), "a record of another size");
}

// -------------------------------------------------------------------------------------------------
// Read

TEST_F(ByteRingCrash, Read) {
  expect_intact(read_of_100("byte ring read", kMidway, use_then_release()));
}

TEST_F(ByteRingCrash, ReadAcrossAPad) {
  start_with(kAtThePad, {100, 101});
  ASSERT_EQ(ByteRing::counters(memory())->tail, kAtThePad + 16 + 2 * kRecord) << "there is no pad";
  expect_intact(read_of_100("byte ring read across a pad", kAtThePad, use_then_release()));
}

TEST_F(ByteRingCrash, MutantThatReleasesBeforeUseIsFound) {
  for (const std::size_t start : {kMidway, kAtThePad}) {
    expect_found(
        read_of_100("mutant: read that releases before the use", start, release_then_use()),
        "found [101]");
  }
}

}  // namespace
}  // namespace sluice::tests
