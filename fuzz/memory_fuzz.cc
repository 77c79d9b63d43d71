// SPDX-License-Identifier: Apache-2.0
//
// Uses the structures that lie in plain memory while a peer without rules writes into it: rings,
// arenas and Latest on memory of the caller's, Value and ShareableList in segments. Whatever is
// written, the calls end with a Status or an Error, they don't hang, and they touch nothing
// outside: the memory lies between unmapped pages (guarded_mmap.cc), with a margin that must stay
// as it was. And as long as nothing was written that a structure must believe, what comes out is
// what went in.
//
//   ./bazelw test //fuzz:memory_corpus_test                   # the corpus, with any compiler
//   ./bazelw run --config=fuzz //fuzz:memory_fuzz -- -max_len=1024 $PWD/fuzz/corpus/memory
//
// The format of an input is in memory_input.h; memory_seeds.cc makes the corpus.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/fuzz/corpus.h"
#include "sluice/fuzz/memory_input.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/value.h"
#include "sluice/lockfree/arena_layout.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/lockfree/chunk_arena.h"
#include "sluice/lockfree/latest.h"
#include "sluice/lockfree/spsc_ring.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::fuzz {

const char* const kCorpus = "fuzz/corpus/memory";

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMostSteps = 64;
constexpr std::byte kMargin = std::byte{0xa5};

struct Action {
  int kind;
  std::size_t where;
  std::uint8_t what;
  std::uint64_t value;
};

std::vector<Action> actions_of(std::span<const std::uint8_t> data) {
  std::vector<Action> actions;
  for (; data.size() >= kMemoryStep && actions.size() < kMostSteps;
       data = data.subspan(kMemoryStep)) {
    std::uint16_t where = 0;
    std::uint64_t value = 0;
    std::memcpy(&where, &data[1], sizeof where);
    std::memcpy(&value, &data[4], sizeof value);
    actions.push_back({data[0] % kActions, where, data[3], value});
  }
  return actions;
}

void expect(bool truth) {
  if (!truth) std::abort();
}

template <class Call>
void allowing_errors(Call call) {
  try {
    call();
  } catch (const Error&) {
    return;
  } catch (const std::logic_error&) {
    return;  // what a scribbled lock says, or an item for which there is no room
  }
}

/// What the peer may write into, and what it has written.
class Memory {
 public:
  explicit Memory(std::span<std::byte> bytes, std::size_t spared = 0)
      : bytes_(bytes), spared_(spared) {}

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  [[nodiscard]] bool is_clean() const { return written_.empty(); }
  /// Whether anything in [begin, end) was overwritten.
  [[nodiscard]] bool touched(std::size_t begin, std::size_t end) const {
    return std::any_of(written_.begin(), written_.end(),
                       [&](const auto& w) { return w.first < end && w.second > begin; });
  }
  void scribble(const Action& action) {
    const std::size_t at = spared_ + action.where % (bytes_.size() - spared_);
    const std::size_t size = std::min<std::size_t>(action.what % 8 + 1, bytes_.size() - at);
    std::memcpy(&bytes_[at], &action.value, size);
    written_.emplace_back(at, at + size);
  }
  void scribble_later(const Action& action) { later_ = action; }
  /// Called where somebody else may come between.
  void between() {
    if (later_) scribble(*later_);
    later_.reset();
  }

 private:
  std::span<std::byte> bytes_;
  std::size_t spared_;
  std::vector<std::pair<std::size_t, std::size_t>> written_;
  std::optional<Action> later_;
};

/// Zeroed memory as near to an unmapped page as its alignment lets it be.
class Room {
 public:
  explicit Room(std::size_t size) : size_(size) {
    const std::size_t rounded = (size + kNoSharing - 1) / kNoSharing * kNoSharing;
    mapped_ = (rounded + kPage - 1) / kPage * kPage;
    void* const address =
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) throw std::runtime_error("no memory");
    all_ = static_cast<std::byte*>(address);
    before_ = mapped_ - rounded;
    std::fill_n(all_, mapped_, kMargin);
    std::fill_n(all_ + before_, size_, std::byte{0});
  }
  ~Room() {
    const auto is_margin = [](std::byte b) { return b == kMargin; };
    expect(std::all_of(all_, all_ + before_, is_margin));
    expect(std::all_of(all_ + before_ + size_, all_ + mapped_, is_margin));
    munmap(all_, mapped_);
  }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() const { return {all_ + before_, size_}; }

 private:
  std::size_t size_;
  std::size_t mapped_ = 0;
  std::size_t before_ = 0;
  std::byte* all_ = nullptr;
};

/// The memory of a segment, once more.
class Mapped {
 public:
  explicit Mapped(const UniqueFd& fd) {
    struct stat s = {};
    expect(fstat(fd.get(), &s) == 0);
    size_ = static_cast<std::size_t>(s.st_size);
    void* const address = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (address == MAP_FAILED) throw std::runtime_error("no memory of a segment");
    all_ = static_cast<std::byte*>(address);
  }
  ~Mapped() { munmap(all_, size_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  [[nodiscard]] std::span<std::byte> object() const {
    return std::span(all_, size_).subspan(kObjectOffset);
  }

 private:
  std::size_t size_ = 0;
  std::byte* all_ = nullptr;
};

struct Large {
  std::uint64_t number;
  std::array<std::uint64_t, 19> rest;
};

template <class T>
T numbered(std::uint64_t number) {
  T value = {};
  std::memcpy(&value, &number, sizeof number);
  return value;
}

/// What the head, the tail and the first line of a ring are believed of.
class RingBelief {
 public:
  explicit RingBelief(const Memory& memory) : memory_(memory) {}
  [[nodiscard]] bool is_lied_to() const {
    return newcomer_is_ || memory_.touched(2 * kNoSharing, 2 * kNoSharing + 8) ||
           memory_.touched(3 * kNoSharing, SIZE_MAX);
  }
  void attached() {
    newcomer_is_ = newcomer_is_ || memory_.touched(0, 16) || memory_.touched(128, 136);
  }

 private:
  const Memory& memory_;
  bool newcomer_is_ = false;
};

// -------------------------------------------------------------------------------------------------
// Rings

template <class T>
class SpscRun {
  using Ring = SpscRing<T>;

 public:
  explicit SpscRun(std::uint8_t size)
      : room_(Ring::bytes_for(size % 16 + 1)), memory_(room_.bytes()), belief_(memory_) {
    Ring::format(room_.bytes(), size % 16 + 1);
    producer_.emplace(room_.bytes());
    consumer_.emplace(room_.bytes());
  }

  [[nodiscard]] Memory& memory() { return memory_; }

  void perform(const Action& action) {
    if (action.kind == 7) return attach(action.what);
    if (producer_) push(action);
    if (consumer_) pop(action);
    allowing_errors([&] { expect(Ring::size(room_.bytes()) <= 16); });
  }

 private:
  void attach(std::uint8_t what) {
    belief_.attached();
    allowing_errors([&] {
      if ((what & 1) != 0) {
        consumer_.reset();
        consumer_.emplace(room_.bytes());
      } else {
        producer_.reset();
        producer_.emplace(room_.bytes());
      }
    });
  }

  void push(const Action& action) {
    if (action.kind == 2 && producer_->try_push(numbered<T>(action.value)) == Status::ok) {
      sent_.push_back(action.value);
    } else if (action.kind == 3) {
      std::vector<T> some(action.what % 20, numbered<T>(action.value));
      const std::size_t done = producer_->try_push_n(some);
      expect(done <= some.size());
      sent_.insert(sent_.end(), done, action.value);
    } else if (action.kind == 4) {
      T* const slot = producer_->try_claim();
      if (slot == nullptr) return;
      *slot = numbered<T>(action.value);
      memory_.between();
      producer_->commit();
      sent_.push_back(action.value);
    }
  }

  void pop(const Action& action) {
    if (action.kind == 5) {
      T value = {};
      if (consumer_->try_pop(value) == Status::ok) found(value);
      const T* const slot = consumer_->try_peek();
      if (slot == nullptr) return;
      const T copy = *slot;
      memory_.between();
      consumer_->release();
      found(copy);
    } else if (action.kind == 6) {
      std::vector<T> some(action.what % 20);
      const std::size_t done = consumer_->try_pop_n(some);
      expect(done <= some.size());
      for (std::size_t i = 0; i < done; ++i) found(some[i]);
    }
  }

  void found(const T& value) {
    if (belief_.is_lied_to()) return;
    const T expected = sent_.empty() ? T{} : numbered<T>(sent_.front());
    expect(!sent_.empty() && std::memcmp(&expected, &value, sizeof value) == 0);
    sent_.pop_front();
  }

  Room room_;
  Memory memory_;
  RingBelief belief_;
  std::optional<typename Ring::Producer> producer_;
  std::optional<typename Ring::Consumer> consumer_;
  std::deque<std::uint64_t> sent_;
};

class ByteRingRun {
 public:
  explicit ByteRingRun(std::uint8_t size)
      : room_(ByteRing::bytes_for(std::size_t{128} << size % 4)),
        memory_(room_.bytes()),
        belief_(memory_) {
    ByteRing::format(room_.bytes(), std::size_t{128} << size % 4);
    producer_.emplace(room_.bytes());
    consumer_.emplace(room_.bytes());
  }

  [[nodiscard]] Memory& memory() { return memory_; }

  void perform(const Action& action) {
    if (action.kind == 7) return attach(action.what);
    if (producer_) write(action);
    if (consumer_ && action.kind >= 5) read();
    allowing_errors([&] { static_cast<void>(ByteRing::capacity(room_.bytes())); });
  }

 private:
  void attach(std::uint8_t what) {
    belief_.attached();
    allowing_errors([&] {
      if ((what & 1) != 0) {
        consumer_.reset();
        consumer_.emplace(room_.bytes());
      } else {
        producer_.reset();
        producer_.emplace(room_.bytes());
      }
    });
  }

  void write(const Action& action) {
    const std::string text(action.value % 600, static_cast<char>('a' + ++serial_ % 26));
    const auto bytes = std::as_bytes(std::span(text));
    if (action.kind == 2 || action.kind == 3) {
      if (producer_->try_write(action.what, bytes) == Status::ok) sent_.push_back(text);
    } else if (action.kind == 4) {
      const auto room = producer_->try_claim(bytes.size());
      if (!room) return;
      expect(room->size() == bytes.size());
      std::copy(bytes.begin(), bytes.end(), room->begin());
      memory_.between();
      producer_->commit(action.what, bytes.size() / 2);
      sent_.push_back(text.substr(0, text.size() / 2));
    }
  }

  void read() {
    const auto record = consumer_->try_peek();
    if (!record) return;
    const std::byte* const begin = room_.bytes().data();
    expect(record->payload.data() >= begin + 3 * kNoSharing);
    expect(record->payload.data() + record->payload.size() <= begin + room_.bytes().size());
    const std::string text(reinterpret_cast<const char*>(record->payload.data()),
                           record->payload.size());
    memory_.between();
    consumer_->release();
    if (belief_.is_lied_to()) return;
    expect(!sent_.empty() && sent_.front() == text);
    sent_.pop_front();
  }

  Room room_;
  Memory memory_;
  RingBelief belief_;
  std::optional<ByteRing::Producer> producer_;
  std::optional<ByteRing::Consumer> consumer_;
  std::deque<std::string> sent_;
  std::uint64_t serial_ = 0;
};

// -------------------------------------------------------------------------------------------------
// Newest values

struct Quote {
  static constexpr std::string_view kTypeName = "fuzz.Quote";
  std::uint64_t a, b, c, d, e;
  bool operator==(const Quote&) const = default;
};

/// A value that no tearing could make of two others.
template <class T>
T whole(std::uint64_t seed) {
  if constexpr (sizeof(T) == sizeof(Quote)) {
    return {seed, ~seed, seed + 1, seed * 3, seed ^ 7};
  } else {
    return static_cast<T>(seed);
  }
}

/// What can be done with a Latest<T> or a Value<T>.
template <class T, class L>
class NewestRun {
 public:
  NewestRun(L& latest, Memory memory) : latest_(latest), memory_(std::move(memory)) {}

  [[nodiscard]] Memory& memory() { return memory_; }

  void perform(const Action& action) {
    allowing_errors([&] { change(action); });
    T now = {};
    const Status status = latest_.try_load(now);
    expect(!memory_.is_clean() || (status == Status::ok && now == expected_));
    std::ostringstream out;
    allowing_errors([&] { out << latest_; });
  }

 private:
  void change(const Action& action) {
    const T value = whole<T>(action.value);
    const Deadline soon = std::chrono::microseconds(action.what % 4);
    switch (action.kind) {
      case 2:
        return stored(latest_.store(value, soon), value);
      case 3: {
        T before = {};
        return stored(latest_.exchange(value, before, soon), value);
      }
      case 4: {
        T expected = expected_;
        bool exchanged = false;
        const Status s = latest_.compare_exchange(expected, value, exchanged, soon);
        return stored(s, exchanged ? value : expected_);
      }
      case 5:
        return stored(latest_.update(
                          [&](T& now) {
                            memory_.between();
                            now = value;
                          },
                          soon),
                      value);
      case 6: {
        T now = {};
        static_cast<void>(latest_.wait(expected_, now, soon));
        return;
      }
      case 7:
        if constexpr (requires { latest_.reset(); }) static_cast<void>(latest_.reset());
        return;
      default:
        return;
    }
  }

  void stored(Status status, const T& value) {
    expect(!memory_.is_clean() || status == Status::ok);
    if (status == Status::ok) expected_ = value;
  }

  L& latest_;
  Memory memory_;
  T expected_ = {};
};

// -------------------------------------------------------------------------------------------------
// Lists

class ListRun {
 public:
  explicit ListRun(std::uint8_t size)
      : list_(items(size % 16 + 1)),
        mapped_(list_.fd()),
        // All but the lock, for which somebody would wait.
        memory_(mapped_.object(), 16),
        expected_(items(size % 16 + 1)) {}

  [[nodiscard]] Memory& memory() { return memory_; }

  void perform(const Action& action) {
    const std::size_t i = action.where % (list_.size() + 1);
    allowing_errors([&] { act(action, i); });
    if (!memory_.is_clean()) return;
    for (std::size_t n = 0; n < expected_.size(); ++n) expect(list_.get(n) == expected_[n]);
  }

 private:
  static std::vector<ListItem> items(std::size_t count) {
    std::vector<ListItem> items;
    for (std::size_t i = 0; i < count; ++i) {
      if (i % 3 == 0) items.emplace_back(std::string(i, 's'));
      if (i % 3 == 1) items.emplace_back(std::int64_t{5});
      if (i % 3 == 2) items.emplace_back(Bytes(2 * i, std::byte{9}));
    }
    return items;
  }

  void act(const Action& action, std::size_t i) {
    switch (action.kind) {
      case 2:
        return set(i, static_cast<std::int64_t>(action.value));
      case 3:
        return set(i, std::string(action.value % 40, 'x'));
      case 4:
        return set(i, Bytes(action.value % 40));
      case 5:
        static_cast<void>(list_.get(i));
        return;
      case 6:
        static_cast<void>(list_.copy());
        return;
      default: {
        const auto again = ShareableList::from_fd(list_.fd());
        expect(again.size() < memory_.bytes().size());
        for (const ListItem item : again) static_cast<void>(item_text(item));
      }
    }
  }

  void set(std::size_t i, const ListItem& item) {
    list_.set(i, item);
    if (i < expected_.size()) expected_[i] = item;
  }

  ShareableList list_;
  Mapped mapped_;
  Memory memory_;
  std::vector<ListItem> expected_;
};

// -------------------------------------------------------------------------------------------------
// Arena

class ArenaRun {
 public:
  explicit ArenaRun(std::uint8_t size)
      : classes_{{{64, size % 16U + 1}, {192, 3}}},
        room_(ChunkArena::bytes_for(classes_)),
        memory_(room_.bytes()) {
    ChunkArena::format(room_.bytes(), classes_);
    arena_.emplace(room_.bytes());
  }

  [[nodiscard]] Memory& memory() { return memory_; }

  void perform(const Action& action) {
    if (action.kind == 7) return attach();
    if (!arena_) return;
    if (action.kind == 2) allocate(action);
    if (action.kind == 3 && !mine_.empty()) free(action);
    if (action.kind == 4 && !mine_.empty()) hand_over(action);
    if (action.kind == 5) take(action);
    if (action.kind == 6) look(action);
    if (memory_.is_clean()) check();
  }

 private:
  struct Held {
    ArenaRef ref;
    std::byte mark;
  };

  void attach() {
    arena_.reset();
    allowing_errors([&] { arena_.emplace(room_.bytes()); });
    expect(arena_ || !memory_.is_clean());
  }

  void allocate(const Action& action) {
    ArenaRef ref;
    const std::size_t wanted = action.value % 200;
    if (arena_->try_allocate(wanted, ref) != Status::ok) return;
    const Held held = {ref, static_cast<std::byte>(action.what)};
    const std::span<std::byte> bytes = arena_->bytes(ref);
    expect(bytes.size() >= wanted || !memory_.is_clean());
    std::fill(bytes.begin(), bytes.end(), held.mark);
    mine_.push_back(held);
  }

  void free(const Action& action) {
    std::swap(mine_[action.where % mine_.size()], mine_.back());
    allowing_errors([&] { arena_->free(mine_.back().ref); });
    mine_.pop_back();
  }

  void hand_over(const Action& action) {
    const ArenaRef ref = mine_[action.where % mine_.size()].ref;
    allowing_errors([&] { arena_->send(ref); });
    memory_.between();
    expect(arena_->take(ref) == Status::ok || !memory_.is_clean());
  }

  /// Of a reference that a peer has sent.
  void take(const Action& action) {
    const ArenaRef ref = {.index = static_cast<std::uint32_t>(action.value),
                          .generation = action.what};
    const std::span<std::byte> bytes = arena_->bytes(ref);
    if (!memory_.is_clean()) std::fill(bytes.begin(), bytes.end(), std::byte{1});
    if (arena_->take(ref) != Status::ok) return;
    expect(!memory_.is_clean());
    allowing_errors([&] { arena_->give(ref, static_cast<std::uint32_t>(action.where)); });
  }

  void look(const Action& action) {
    const ArenaReport report = arena_->report();
    expect(report.chunks == arena_->capacity());
    expect(report.free + report.owned + report.owned_by_dead + report.in_transit + report.damaged ==
           report.chunks);
    arena_->reclaim_in_transit([&](ArenaRef ref) { return ref.index % 2 == action.what % 2; });
  }

  void check() {
    for (const Held& held : mine_) {
      const std::span<std::byte> bytes = arena_->bytes(held.ref);
      expect(arena_->is_mine(held.ref) && !bytes.empty());
      expect(std::all_of(bytes.begin(), bytes.end(), [&](auto b) { return b == held.mark; }));
    }
    const ArenaReport report = arena_->report();
    expect(report.owned == mine_.size() && report.free + report.owned == report.chunks);
  }

  std::array<ArenaClass, 2> classes_;
  Room room_;
  Memory memory_;
  std::optional<ChunkArena> arena_;
  std::vector<Held> mine_;
};

// -------------------------------------------------------------------------------------------------

template <class Run>
void use(Run& run, const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    if (action.kind == 0) {
      run.memory().scribble(action);
    } else if (action.kind == 1) {
      run.memory().scribble_later(action);
    } else {
      run.perform(action);
    }
  }
}

template <class Run>
void use_new(std::uint8_t size, const std::vector<Action>& actions) {
  Run run(size);
  use(run, actions);
}

template <class T>
void use_latest(const std::vector<Action>& actions) {
  const Room room(sizeof(Latest<T>));
  auto& latest = Latest<T>::in(room.bytes());
  NewestRun<T, Latest<T>> run(latest, Memory(room.bytes()));
  use(run, actions);
}

void use_value(const std::vector<Action>& actions) {
  Value<Quote> value;
  const Mapped mapped(value.fd());
  NewestRun<Quote, Value<Quote>> run(value, Memory(mapped.object()));
  use(run, actions);
}

void run(Structure which, std::uint8_t size, const std::vector<Action>& actions) {
  switch (which) {
    case Structure::spsc_small:
      return use_new<SpscRun<std::uint64_t>>(size, actions);
    case Structure::spsc_large:
      return use_new<SpscRun<Large>>(size, actions);
    case Structure::byte_ring:
      return use_new<ByteRingRun>(size, actions);
    case Structure::latest_word:
      return use_latest<std::uint32_t>(actions);
    case Structure::latest:
      return use_latest<Quote>(actions);
    case Structure::value:
      return use_value(actions);
    case Structure::list:
      return use_new<ListRun>(size, actions);
    case Structure::arena:
      return use_new<ArenaRun>(size, actions);
  }
}

}  // namespace
}  // namespace sluice::fuzz

// libFuzzer's names and signatures.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  if (size < kMemoryHeader) return 0;
  run(static_cast<Structure>(data[0] % kStructures), data[1],
      actions_of(std::span(data, size).subspan(kMemoryHeader)));
  return 0;
}
