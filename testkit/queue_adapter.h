// SPDX-License-Identifier: Apache-2.0
//
// What a queue must look like to be tested with this kit: an adapter, some ten lines, that the
// owner of the queue writes once. Suite, properties, histories, crash tests, fuzzing and benchmarks
// all take the same one, and test what it has.
//
//   template <class T>
//     requires std::movable<T>                            // what the queue can carry
//   struct MyAdapter {
//     using value_type = T;
//     static constexpr QueueTraits kTraits{.order = QueueOrder::fifo, .bounded = true};
//     explicit MyAdapter(std::size_t capacity) : queue(capacity) {}
//     bool try_push(T item) { return queue.offer(std::move(item)); }
//     bool try_pop(T& item) { return queue.take(item); }
//     MyQueue<T> queue;
//   };
//   static_assert(QueueAdapter<MyAdapter<int>>);
//
// An adapter is a template of the item, so that the kit can choose items that find faults: numbered
// ones, over-aligned ones, ones that only move, ones that throw. Its constraint says what the queue
// can't carry; what needs such items is left out then, and said to be.
//
//   must have    value_type, kTraits, try_push(item) and try_pop(item&) -> bool
//   made by      A(capacity); or in memory that processes share: SharedAdapter; or before a fork:
//                InheritedAdapter
//   may have     push(item), pop(item&) -> bool, which wait; close(), after which push() is false,
//                and so is pop() once what was pushed is popped; size(); capacity(), if it is not
//                what was asked for; try_push_n(span<const T>), try_pop_n(span<T>) -> how many;
//                party(): something with the same calls, that one thread uses alone (a token, a
//                handle); it must not outlive the adapter
//
// Units: items. Errors: false is "full", "empty" or "closed", whatever a call throws passes
// through. Threads: as many as kTraits says may push, and pop, at once. If a process dies here:
// nothing; what the queue promises of it is tested by crash.h and its neighbours. Cost: none.

#ifndef SLUICE_TESTKIT_QUEUE_ADAPTER_H_
#define SLUICE_TESTKIT_QUEUE_ADAPTER_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <utility>

namespace sluice::testkit {

/// In which order items come out.
enum class QueueOrder : std::uint8_t {
  fifo,               ///< one order for all
  per_producer_fifo,  ///< of each producer in its order, and no other
  lifo,               ///< the newest first
  priority,           ///< the smallest first
};

/// The enumerator's name.
inline std::ostream& operator<<(std::ostream& out, QueueOrder order) {
  constexpr const char* kNames[] = {"fifo", "per_producer_fifo", "lifo", "priority"};
  return out << kNames[static_cast<std::size_t>(order)];
}

/// What an adapter says of its queue.
struct QueueTraits {
  /// As many threads as there are.
  static constexpr std::size_t kAny = ~std::size_t{0};

  QueueOrder order = QueueOrder::fifo;  ///< which all checks hold it to
  /// try_push() is false while capacity() items are in it, and only then.
  bool bounded = true;
  /// How many threads, or processes, may push at once.
  std::size_t producers = kAny;
  /// How many may pop at once.
  std::size_t consumers = kAny;
};

/// Whatever can be tested at all.
template <class A>
concept QueueAdapter =
    requires(A& queue, typename A::value_type item, typename A::value_type& out) {
      { A::kTraits } -> std::convertible_to<QueueTraits>;
      { queue.try_push(std::move(item)) } -> std::same_as<bool>;
      { queue.try_pop(out) } -> std::same_as<bool>;
    };

/// Made by each test for itself, on memory of its own.
template <class A>
concept LocalAdapter = QueueAdapter<A> && std::constructible_from<A, std::size_t>;

/// Made in memory that processes share: make() in it once, then one adapter per process on it. The
/// memory is aligned to a page; all that outlives a process lies in it.
template <class A>
concept SharedAdapter = QueueAdapter<A> && requires(std::size_t capacity, void* memory) {
  { A::bytes(capacity) } -> std::convertible_to<std::size_t>;
  A::make(memory, capacity);
} && std::constructible_from<A, void*, std::size_t>;

/// Made before a fork, and inherited by it: shared() is all that outlives a process.
template <class A>
concept InheritedAdapter = LocalAdapter<A> && requires(const A& queue) {
  { queue.shared() } -> std::convertible_to<std::span<const std::byte>>;
};

/// Works between processes, the one way or the other.
template <class A>
concept ProcessAdapter = SharedAdapter<A> || InheritedAdapter<A>;

/// Has calls that wait for room, or for an item, unless it is closed.
template <class A>
concept BlockingAdapter = QueueAdapter<A> && requires(A& queue, typename A::value_type item,
                                                      typename A::value_type& out) {
  { queue.push(std::move(item)) } -> std::same_as<bool>;
  { queue.pop(out) } -> std::same_as<bool>;
};

/// Can be told that nothing more comes: pushes fail from then on, pops once it is empty.
template <class A>
concept ClosableAdapter = QueueAdapter<A> && requires(A& queue) { queue.close(); };

/// Says how many items are in it: with nobody else at work, exactly.
template <class A>
concept SizedAdapter = QueueAdapter<A> && requires(A& queue) {
  { queue.size() } -> std::convertible_to<std::size_t>;
};

/// Takes and gives several items in a call, or fewer than asked for, and says how many.
template <class A>
concept BatchAdapter =
    QueueAdapter<A> && requires(A& queue, std::span<const typename A::value_type> in,
                                std::span<typename A::value_type> out) {
      { queue.try_push_n(in) } -> std::convertible_to<std::size_t>;
      { queue.try_pop_n(out) } -> std::convertible_to<std::size_t>;
    };

/// What a thread uses: its own party, where there are such, or the queue itself.
template <QueueAdapter A>
decltype(auto) party_of(A& queue) {
  if constexpr (requires { queue.party(); }) {
    return queue.party();
  } else {
    return (queue);
  }
}

/// How many items a queue that was made for `asked` holds.
template <QueueAdapter A>
std::size_t capacity_of(A& queue, std::size_t asked) {
  if constexpr (requires { queue.capacity(); }) {
    return queue.capacity();
  } else {
    return asked;
  }
}

/// Whether Adapter<T> exists: for a constrained template, whether the queue carries such items.
template <template <class> class Adapter, class T>
concept Carries = requires { typename Adapter<T>; };

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_ADAPTER_H_
