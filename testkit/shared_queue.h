// SPDX-License-Identifier: Apache-2.0
//
// SharedQueue<A>: a queue that forked children share, made by its adapter in the one way or the
// other (testkit/queue_adapter.h), for what needs processes: crash tests, hostile memory,
// benchmarks. Not for queues of one process: those an adapter makes by itself.
//
//   SharedQueue<MyAdapter<int>> queue(5);
//   // in a child:
//   MyAdapter<int>& mine = queue.attach();
//   // in the parent, once all children are dead:
//   queue.reset();
//
// In memory: of a SharedAdapter, a mapping of its bytes, between addresses that nobody may touch,
// its last page filled up with a margin; of an InheritedAdapter, what the adapter maps itself.
//
// Units: bytes; capacity in items. Errors: std::system_error if there is no memory; what the
// adapter throws passes through.
//
// Threads and processes: made in the parent, before the forks. attach() by each process for itself,
// once; the rest while no other process uses the queue.
//
// If a process dies here: what it has written stays, until reset() or restore().
//
// Cost: an image is a copy of all bytes.

#ifndef SLUICE_TESTKIT_SHARED_QUEUE_H_
#define SLUICE_TESTKIT_SHARED_QUEUE_H_

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "sluice/testkit/queue_adapter.h"

namespace sluice::internal {

/// Zeroed memory that children share, on a page boundary. Whoever goes beyond its last page, or
/// before its first, by less than 4 GiB, faults; whoever writes behind it in its last page is found
/// by margin_is_whole().
class GuardedMemory {
 public:
  /// Throws std::system_error.
  explicit GuardedMemory(std::size_t bytes);
  ~GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {begin_, bytes_}; }
  [[nodiscard]] bool margin_is_whole() const noexcept;

 private:
  std::size_t bytes_;
  std::size_t mapped_;
  void* reserved_;
  std::byte* begin_;
};

/// Where the bytes of a queue lie, and the adapter of this process.
template <class A>
class QueuePlace {
 public:
  explicit QueuePlace(std::size_t capacity) : queue_(capacity) {}

  void make() {}
  A& attach() { return queue_; }
  /// The adapter's own mapping, which it shows for reading only.
  [[nodiscard]] std::span<std::byte> bytes() const {
    const std::span<const std::byte> shown = queue_.shared();
    return {const_cast<std::byte*>(shown.data()), shown.size()};
  }
  [[nodiscard]] bool margin_is_whole() const { return true; }

 private:
  A queue_;
};

template <testkit::SharedAdapter A>
class QueuePlace<A> {
 public:
  explicit QueuePlace(std::size_t capacity) : capacity_(capacity), memory_(A::bytes(capacity)) {
    make();
  }

  void make() {
    mine_.reset();
    std::memset(bytes().data(), 0, bytes().size());
    A::make(bytes().data(), capacity_);
  }
  A& attach() {
    mine_.reset();
    mine_ = std::make_unique<A>(bytes().data(), capacity_);
    return *mine_;
  }
  [[nodiscard]] std::span<std::byte> bytes() const { return memory_.bytes(); }
  [[nodiscard]] bool margin_is_whole() const { return memory_.margin_is_whole(); }

 private:
  std::size_t capacity_;
  GuardedMemory memory_;
  std::unique_ptr<A> mine_;
};

}  // namespace sluice::internal

namespace sluice::testkit {

/// A queue that forked children share, and whose bytes can be kept and put back.
template <ProcessAdapter A>
class SharedQueue {
 public:
  /// What the shared bytes were at some moment.
  using Image = std::vector<std::byte>;

  /// Makes it for so many items, before the forks.
  explicit SharedQueue(std::size_t capacity) : place_(capacity), made_(image()) {}

  /// This process's adapter. Of a SharedAdapter each call makes a new one, in place of the last.
  A& attach() { return place_.attach(); }

  /// As it was made. What a process had attached before is of no use any more.
  void reset() {
    if constexpr (SharedAdapter<A>) {
      place_.make();
    } else {
      restore(made_);
    }
  }

  /// A copy of all that outlives a process, as it is now.
  [[nodiscard]] Image image() const {
    const std::span<std::byte> all = bytes();
    return {all.begin(), all.end()};
  }
  /// Writes an image of this queue back over its bytes, while no other process uses them.
  void restore(const Image& image) { std::memcpy(bytes().data(), image.data(), image.size()); }

  /// All that outlives a process, for CrashOperation::shared.
  [[nodiscard]] std::span<std::byte> bytes() const { return place_.bytes(); }

  /// False if somebody wrote behind the bytes that a SharedAdapter asked for.
  [[nodiscard]] bool margin_is_whole() const { return place_.margin_is_whole(); }

 private:
  internal::QueuePlace<A> place_;
  Image made_;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SHARED_QUEUE_H_
