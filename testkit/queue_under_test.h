// SPDX-License-Identifier: Apache-2.0
//
// QueueUnderTest<A>: an adapter (testkit/queue_adapter.h) with whatever it needs to exist, however
// it is made; and QueueFollower<A>, which holds each call on it to the model.
//
//   QueueFollower<MyAdapter<std::uint64_t>> queue(2);   // for two
//   queue.push(item(0, 1));
//   queue.pop();
//   EXPECT_EQ(queue.wrong(), "");                       // "push(0:1) -> full, with 0 of 2 in it"
//
// Units: items. Errors: what making it throws. Threads: as the adapter; a follower is of one. If a
// process dies here: private memory. Cost: the adapter's; a follower's call is a few instructions
// more.

#ifndef SLUICE_TESTKIT_QUEUE_UNDER_TEST_H_
#define SLUICE_TESTKIT_QUEUE_UNDER_TEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>

#include "sluice/testkit/check_items.h"
#include "sluice/testkit/check_options.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

/// Whatever a process can make for itself alone.
template <class A>
concept MakeableAdapter = LocalAdapter<A> || SharedAdapter<A>;

/// An adapter that was just made, and the memory that it wants: a SharedAdapter's is private here.
template <MakeableAdapter A>
class QueueUnderTest {
 public:
  /// Asks for so many items. A SharedAdapter gets zeroed memory, aligned to 4096 bytes.
  explicit QueueUnderTest(std::size_t capacity) : capacity_(capacity) {
    if constexpr (LocalAdapter<A>) {
      queue_.emplace(capacity);
    } else {
      const std::size_t size = A::bytes(capacity);
      memory_.reset(::operator new(size, kPage));
      std::memset(memory_.get(), 0, size);
      A::make(memory_.get(), capacity);
      queue_.emplace(memory_.get(), capacity);
    }
    if constexpr (A::kTraits.bounded) capacity_ = capacity_of(*queue_, capacity);
  }
  QueueUnderTest(const QueueUnderTest&) = delete;
  QueueUnderTest& operator=(const QueueUnderTest&) = delete;
  ~QueueUnderTest() = default;

  /// The adapter; it lives as long as this.
  A& operator*() { return *queue_; }
  /// The same, for a call on it.
  A* operator->() { return &*queue_; }
  /// What it holds; of an unbounded one, what was asked for.
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

 private:
  static constexpr std::align_val_t kPage{4096};
  struct Free {
    void operator()(void* memory) const { ::operator delete(memory, kPage); }
  };

  std::unique_ptr<void, Free> memory_;
  std::optional<A> queue_;
  std::size_t capacity_;
};

/// Makes calls on a queue and on the model. Items may be of any kind that has an id.
template <MakeableAdapter A>
class QueueFollower {
 public:
  /// What the queue carries; made from an id by its constructor.
  using Item = typename A::value_type;

  /// Makes the queue, and a model of as many items as it says that it holds.
  explicit QueueFollower(std::size_t capacity)
      : queue_(capacity), model_(A::kTraits, queue_.capacity()) {}

  /// To look at. What is pushed or popped here the model does not know.
  QueueUnderTest<A>& queue() { return queue_; }
  /// What must be in the queue now, if all calls were right.
  [[nodiscard]] const QueueModel& model() const { return model_; }
  /// The first call that may not have given what it gave; or an empty string.
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

  /// By try_push(). False if this call, or one before it, gave what it may not have given.
  bool push(std::uint64_t id) {
    internal::note_call("try_push()");
    return follow({QueueCall::Kind::push, id, queue_->try_push(Item(id))});
  }
  /// By try_pop(); whatever may come out is right. False as of push().
  bool pop() {
    Item out{};
    internal::note_call("try_pop()");
    const bool ok = queue_->try_pop(out);
    return follow({QueueCall::Kind::pop, ok ? internal::id_of(out) : 0, ok});
  }
  /// By the adapter's push(), where the model says that it need not wait; else by try_push().
  bool push_without_wait(std::uint64_t id) {
    if constexpr (BlockingAdapter<A>) {
      if (!model_.is_full() || model_.is_closed()) {
        internal::note_call("push()");
        return follow({QueueCall::Kind::push, id, queue_->push(Item(id))});
      }
    }
    return push(id);
  }
  /// By the adapter's pop(), where it need not wait; else by try_pop().
  bool pop_without_wait() {
    if constexpr (BlockingAdapter<A>) {
      if (model_.size() != 0 || model_.is_closed()) {
        Item out{};
        internal::note_call("pop()");
        const bool ok = queue_->pop(out);
        return follow({QueueCall::Kind::pop, ok ? internal::id_of(out) : 0, ok});
      }
    }
    return pop();
  }
  /// By size(), which must be what the model has. True without a call if there is none.
  bool look_at_size() {
    if constexpr (SizedAdapter<A>) {
      internal::note_call("size()");
      return follow({QueueCall::Kind::size, queue_->size(), true});
    } else {
      return true;
    }
  }
  /// Closes queue and model. True without a call if the adapter has no close().
  bool close() {
    if constexpr (ClosableAdapter<A>) {
      internal::note_call("close()");
      queue_->close();
      return follow({QueueCall::Kind::close, 0, true});
    } else {
      return true;
    }
  }

  /// By try_push_n(), which may push fewer; but not none where all have room.
  bool push_n(std::span<const std::uint64_t> ids)
    requires BatchAdapter<A>
  {
    internal::note_call("try_push_n()");
    const std::size_t count = queue_->try_push_n(ids);
    const bool has_room = !model_.is_closed() && model_.capacity() - model_.size() >= ids.size();
    if (count > ids.size() || (count == 0 && has_room && !ids.empty())) {
      return complain("try_push_n() of " + std::to_string(ids.size()) + " -> " +
                      std::to_string(count));
    }
    bool good = true;
    for (const std::uint64_t id : ids.first(count)) {
      good = good && follow({QueueCall::Kind::push, id, true});
    }
    return good;
  }
  /// By try_pop_n(), into `room`; it may pop fewer than there are, but not none.
  bool pop_n(std::span<std::uint64_t> room)
    requires BatchAdapter<A>
  {
    internal::note_call("try_pop_n()");
    const std::size_t count = queue_->try_pop_n(room);
    if (count > room.size() || (count == 0 && model_.size() != 0 && !room.empty())) {
      return complain("try_pop_n() of " + std::to_string(room.size()) + " -> " +
                      std::to_string(count));
    }
    bool good = true;
    for (const std::uint64_t id : room.first(count)) {
      good = good && follow({QueueCall::Kind::pop, id, true});
    }
    return good;
  }

 private:
  static constexpr std::size_t kShown = 12;

  bool follow(const QueueCall& call) {
    if (!wrong_.empty()) return false;
    if (!model_.step(call)) {
      std::ostringstream text;
      text << call << (call.kind == QueueCall::Kind::push && call.ok ? " -> ok" : "");
      return complain(text.str());
    }
    last_[count_++ % kShown] = call;
    return true;
  }

  bool complain(const std::string& what) {
    if (!wrong_.empty()) return false;
    std::ostringstream text;
    text << what << ", with " << model_.size() << " of ";
    if (A::kTraits.bounded) {
      text << model_.capacity();
    } else {
      text << "any number";
    }
    text << " in it" << (model_.is_closed() ? ", closed" : "");
    if (model_.size() != 0) {
      const auto show = [](std::uint64_t id) {
        return std::to_string(producer_of(id)) + ":" + std::to_string(number_of(id));
      };
      text << ", the oldest " << show(model_.items().front()) << ", the newest "
           << show(model_.items().back());
    }
    text << "; call " << count_ + 1 << " after";
    for (std::size_t i = count_ < kShown ? 0 : count_ - kShown; i < count_; ++i) {
      text << ' ' << last_[i % kShown];
    }
    wrong_ = text.str();
    return false;
  }

  QueueUnderTest<A> queue_;
  QueueModel model_;
  std::array<QueueCall, kShown> last_{};
  std::size_t count_ = 0;
  std::string wrong_;
};

}  // namespace sluice::testkit

namespace sluice::internal {

/// The same, with the size at which it was found.
inline std::string with_capacity(const std::string& wrong, std::size_t capacity) {
  return wrong.empty() ? "" : "made for " + std::to_string(capacity) + ": " + wrong;
}

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_QUEUE_UNDER_TEST_H_
