// SPDX-License-Identifier: Apache-2.0
//
// Uses a queue while a peer without rules writes into its memory. Whatever it writes, the calls end
// with a Status or an Error; they don't crash, don't hang, allocate no more than an item of the
// queue's limit may have, and don't touch memory outside of the mapping: guarded_mmap.cc puts
// unmapped pages on both sides of it. And as long as nobody has written, what is popped is what was
// pushed, in order and once. Of both engines: records under locks, and the ring.
//
//   ./bazelw test //fuzz:queue_corpus_test                   # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:queue_fuzz -- -max_len=1024 $PWD/fuzz/corpus/queue
//
// Run so, it is given its dictionary; what is run by hand wants
// -dict=fuzz/dictionaries/queue.dict (dictionaries.h).
//
// The format of an input is in queue_input.h; queue_seeds.cc makes the corpus.

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/fuzz/corpus.h"
#include "sluice/fuzz/queue_input.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::fuzz {

const char* const kCorpus = "fuzz/corpus/queue";

namespace {

using internal::QueueEngine;

constexpr std::size_t kEngineOffset = 8;  // of the object (ipc/queue_core.h)
constexpr std::size_t kMostSteps = 64;
constexpr std::size_t kMostItems = 8;
constexpr std::size_t kMostBytes = 1024;       // of the records that do not grow
constexpr std::size_t kMostGrown = 256 << 10;  // of those that do

struct Action {
  QueueStep step;
  std::uint16_t where;
  std::uint8_t what;
  std::uint64_t value;
};

std::vector<Action> actions_of(std::span<const std::uint8_t> data) {
  std::vector<Action> actions;
  for (; data.size() >= kQueueStepSize && actions.size() < kMostSteps;
       data = data.subspan(kQueueStepSize)) {
    Action action = {static_cast<QueueStep>(data[0] % kQueueSteps), 0, data[3], 0};
    std::memcpy(&action.where, &data[1], sizeof action.where);
    std::memcpy(&action.value, &data[4], sizeof action.value);
    actions.push_back(action);
  }
  return actions;
}

void expect(bool truth) {
  if (!truth) std::abort();
}

/// What a hostile peer has: the same memory, without any rules.
class Peer {
 public:
  explicit Peer(const UniqueFd& fd) {
    struct stat s = {};
    expect(fstat(fd.get(), &s) == 0);
    size_ = static_cast<std::size_t>(s.st_size);
    void* const address = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (address == MAP_FAILED) throw std::runtime_error("no memory of a queue");
    memory_ = static_cast<std::byte*>(address);
  }
  ~Peer() { munmap(memory_, size_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  [[nodiscard]] bool has_written() const { return has_written_; }
  void write(const Action& action) {
    const std::size_t at = kObjectOffset + action.where % (size_ - kObjectOffset);
    std::memcpy(memory_ + at, &action.value,
                std::min<std::size_t>(action.what % 8 + 1, size_ - at));
    has_written_ = true;
  }
  void write_later(const Action& action) { later_ = action; }
  [[nodiscard]] std::uint32_t word_at(std::size_t where) const {
    std::uint32_t word = 0;
    std::memcpy(&word, memory_ + kObjectOffset + where, sizeof word);
    return word;
  }
  /// Called where somebody else may come between.
  void between() {
    if (later_) write(*later_);
    later_.reset();
  }

 private:
  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
  bool has_written_ = false;
  std::optional<Action> later_;
};

Peer* g_peer = nullptr;

/// A text whose encoding lets the peer come between.
struct Item {
  std::string text;
};

}  // namespace
}  // namespace sluice::fuzz

template <>
struct sluice::Codec<sluice::fuzz::Item> {
  static void encode(Encoder& out, const fuzz::Item& item) {
    fuzz::g_peer->between();
    out.value(item.text);
  }
  static bool decode(Decoder& in, fuzz::Item& item) {
    fuzz::g_peer->between();
    return in.value(item.text);
  }
  static std::size_t size(const fuzz::Item& item) { return encoded_size(item.text); }
};

namespace sluice::fuzz {
namespace {

/// A queue of records, under locks; its peer comes between where an item is encoded.
struct Records {
  using T = Item;
  static constexpr QueueEngine kEngine = QueueEngine::locked;

  static Overflow policy(std::uint8_t which) { return static_cast<Overflow>(which >> 1 & 3); }
  static Capacity capacity(std::uint8_t which) {
    return (which & kQueueGrows) != 0 ? Capacity::unlimited(kMostGrown)
                                      : Capacity(kMostItems, kMostBytes);
  }
  static T item(std::uint64_t size, std::uint64_t serial) {
    return {std::string(size % 600, static_cast<char>('a' + serial % 26))};
  }
  static bool may_come(const T& item) { return item.text.size() <= kMostGrown; }
  static bool are_same(const T& a, const T& b) { return a.text == b.text; }
};

/// A ring, of items that lie in it. Nothing of ours runs while one is copied, so the peer comes
/// between two calls.
struct Ring {
  struct T {
    std::uint64_t serial, size, again;
    bool operator==(const T&) const = default;
  };
  static constexpr QueueEngine kEngine = QueueEngine::ring;

  static Overflow policy(std::uint8_t which) {
    return (which & 2) != 0 ? Overflow::fail : Overflow::block;  // the others need records
  }
  static Capacity capacity(std::uint8_t which) {
    return Capacity((which & kQueueGrows) != 0 ? 1 : kMostItems);
  }
  static T item(std::uint64_t size, std::uint64_t serial) { return {serial, size, serial}; }
  static bool may_come(const T& /*item*/) { return true; }
  static bool are_same(const T& a, const T& b) { return a == b; }
};

template <class Kind>
class Run {
  using T = typename Kind::T;

 public:
  explicit Run(std::uint8_t which)
      : policy_(Kind::policy(which)),
        queue_(std::in_place, Kind::capacity(which),
               QueueOptions{.overflow = policy_, .ends_with_producers = (which & 8) != 0}),
        peer_(queue_->fd()) {
    expect(peer_.word_at(kEngineOffset) == static_cast<std::uint32_t>(Kind::kEngine));
    g_peer = &peer_;
  }

  void perform(const Action& action) {
    try {
      act(action);
    } catch (const Error&) {
      return;  // what it says of the bytes
    } catch (const std::logic_error&) {
      // What a scribbled lock says, and a callback that finds its room too small.
      expect(peer_.has_written());
    }
  }

 private:
  void act(const Action& action) {
    const Deadline soon = std::chrono::microseconds(action.what % 4);
    switch (action.step) {
      case QueueStep::scribble:
        return peer_.write(action);
      case QueueStep::interrupt:
        return Kind::kEngine == QueueEngine::ring ? peer_.write(action) : peer_.write_later(action);
      case QueueStep::push:
        return push(action, soon);
      case QueueStep::push_each:
        return push_each(action, soon);
      case QueueStep::pop:
        return pop(action, soon);
      case QueueStep::pop_each:
        return pop_each(action, soon);
      case QueueStep::skip:
        if (queue_->skip() == Status::ok) popped(std::nullopt);
        return;
      case QueueStep::ask:
        return ask();
      case QueueStep::close:
        queue_->close(action.what % 2 == 0 ? Remaining::delivered : Remaining::dropped);
        if (action.what % 2 != 0) waiting_.clear();
        return;
      case QueueStep::reattach:
        return reattach();
    }
  }

  void push(const Action& action, Deadline soon) {
    const T item = Kind::item(action.value, ++serial_);
    const Status status = action.what % 2 == 0 ? queue_->try_push(item) : queue_->push(item, soon);
    if (status == Status::ok) pushed(item);
  }
  void push_each(const Action& action, Deadline soon) {
    std::vector<T> items(action.what % 8);
    for (T& item : items) item = Kind::item(action.value % 40, ++serial_);
    const QueueBatch batch = queue_->push_each(items, soon);
    expect(batch.count <= items.size());
    for (std::size_t i = 0; i < batch.count; ++i) pushed(items[i]);
  }
  void pop(const Action& action, Deadline soon) {
    T item{};
    const Status status = action.what % 2 == 0 ? queue_->try_pop(item) : queue_->pop(item, soon);
    if (status == Status::ok) popped(item);
  }
  void pop_each(const Action& action, Deadline soon) {
    std::vector<T> items;
    const QueueBatch batch = queue_->pop_each(items, action.what % 8 + 1, soon);
    expect(batch.count == items.size() && batch.count <= action.what % 8 + 1U);
    for (const T& item : items) popped(item);
  }

  void ask() {
    std::ostringstream out;
    out << *queue_ << queue_->refusal(Kind::item(1, 1));
    expect(queue_->size() <= queue_->capacity());
    expect(queue_->bytes() <= queue_->capacity_bytes());
    static_cast<void>(queue_->full());
    static_cast<void>(queue_->is_closed());
    static_cast<void>(queue_->status());
    if (is_believed()) expect(queue_->size() == waiting_.size());
  }

  void reattach() {
    // First the new one: with the last producer the stream ends.
    auto next = Queue<T>::from_fd(queue_->fd());
    queue_.emplace(std::move(next));
  }

  /// Nobody has written, and nothing is dropped behind the model's back.
  [[nodiscard]] bool is_believed() const {
    return !peer_.has_written() && (policy_ == Overflow::block || policy_ == Overflow::fail);
  }
  void pushed(const T& item) { waiting_.push_back(item); }
  void popped(const std::optional<T>& item) {
    if (item) expect(Kind::may_come(*item));
    if (!is_believed()) return;
    expect(!waiting_.empty());
    expect(!item || Kind::are_same(*item, waiting_.front()));
    waiting_.pop_front();
  }

  Overflow policy_;
  std::optional<Queue<T>> queue_;
  Peer peer_;
  std::deque<T> waiting_;
  std::uint64_t serial_ = 0;
};

template <class Kind>
void run(std::span<const std::uint8_t> data) {
  Run<Kind> one(data[0]);
  for (const Action& action : actions_of(data.subspan(kQueueHeader))) one.perform(action);
}

}  // namespace
}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  if (size < kQueueHeader) return 0;
  const bool is_ring = (data[0] & kQueueEngineBits) == kQueueIsRing;
  (is_ring ? run<Ring> : run<Records>)({data, size});
  return 0;
}
