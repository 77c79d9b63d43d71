// SPDX-License-Identifier: Apache-2.0
//
// IndexStack: the indices 0 to n - 1, of which whoever pops one is the only holder until he pushes
// it back: the free list of a pool of buffers, for any number of threads and processes. Not for
// values (a pool whose indices it hands out holds those), and it never blocks.
//
//   alignas(sluice::kNoSharing) std::array<std::byte, 4096> memory = {};
//   sluice::IndexStack::format(memory, 100);         // once; all 100 are in it, 0 on top
//   sluice::IndexStack stack(memory);                // one for each thread that uses it
//   std::uint32_t index;
//   if (stack.try_pop(index) == sluice::Status::ok) {
//     use(buffers[index]);
//     stack.push(index);
//   }
//
// In memory (position-independent; offsets in bytes; who writes it):
//
//     0  capacity u64 | incarnation u32                      format(); the first handle
//   128  head u64: the top index, or who has just taken it   everybody, by compare-and-swap
//   256  node[0] ... node[capacity - 1]
//        node: owner u64 | next u32 | unused u32             who takes it, who helps; its holder
//
// The words are in stack_word.h. A pop is one compare-and-swap of the head, which names the popper;
// who changes the head next first writes that name into the index's own word, unless the popper has
// done so. So each index that is in nobody's hands is in the list, and every other names its
// holder, at any instant.
//
// Units: indices; capacity exact, up to 2^20. Errors: set-up throws Error; calls return empty,
// corrupt, or foreign_registry if this process's registry is not the one that knows who else
// lives; pushing an index that this process does not hold throws std::logic_error.
// Threads and processes: any number of handles at a time, each used by one thread at a time.
// Indices belong to processes: another thread may push what one has popped, a forked child may not.
//
// If a process dies here: the commit of both is the compare-and-swap of the head. What it held, or
// was just taking or giving back, is found by its tag: reclaim() walks all indices, asks the kernel
// about each holder, and pushes back what belongs to the dead. A pop that finds nothing does so
// itself each 64th time in a row. A process that dies in there leaves what it had taken over with
// its own tag, for the next.
//
// ABA: the head counts its changes. Somebody stopped in the midst of a call is deceived only if
// meanwhile, to the number, a multiple of 2^(31 - bits of the capacity) calls have passed (2^21 at
// 1,000 indices), and the same one has the same top again.
//
// Hostile bytes: the capacity is checked when attaching; each index read from the memory is checked
// before it is used; a call that is in vain 65,536 times returns corrupt.
//
// Cost: two compare-and-swaps a call: the head, then the index's own word; no system call and no
// allocation but in reclaim(). Source: Treiber's stack.

#ifndef SLUICE_LOCKFREE_STACK_H_
#define SLUICE_LOCKFREE_STACK_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/lockfree/stack_word.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What IndexStack is over an environment, the machine or a test: a handle, for one thread at a
/// time.
template <class Env>
class BasicIndexStack {
  using Words = internal::StackWords;

  struct Control {
    internal::Word<std::uint64_t> capacity;
    /// Of the registry whose tags the words hold; 0 before the first handle.
    internal::Word<std::uint32_t> incarnation;
    alignas(kNoSharing) internal::Word<std::uint64_t> head;
  };
  static_assert(sizeof(Control) == 2 * kNoSharing);

  struct Node {
    internal::Word<std::uint64_t> owner;
    internal::Word<std::uint32_t> next;  ///< index + 1, or 0
    std::uint32_t unused;
  };
  static_assert(sizeof(Node) == 16);

 public:
  static constexpr std::size_t kMaxCapacity = std::size_t{1} << 20;  ///< indices, in one stack

  /// Bytes for `capacity` indices. The memory must be aligned to kNoSharing. Throws Error if
  /// capacity is 0 or above kMaxCapacity.
  static std::size_t bytes_for(std::size_t capacity) {
    if (capacity == 0 || capacity > kMaxCapacity) {
      throw Error::from_errno(EINVAL, {.tried = "size a stack of indices",
                                       .expected = "a capacity of 1 to 2^20",
                                       .found = std::to_string(capacity)});
    }
    return sizeof(Control) + capacity * sizeof(Node);
  }

  /// Makes a stack of all indices in `memory`, before anyone else can see it. Throws Error if it is
  /// too small or not aligned.
  static void format(std::span<std::byte> memory, std::size_t capacity) {
    const std::size_t needed = bytes_for(capacity);
    Control* const control = internal::attach_object<Control>(memory);
    if (control == nullptr || memory.size() < needed) {
      throw Error::from_errno(EINVAL,
                              {.tried = "make a stack of " + std::to_string(capacity) + " indices",
                               .expected = std::to_string(needed) + " bytes, aligned to 128",
                               .found = std::to_string(memory.size()) + " bytes"});
    }
    std::memset(memory.data(), 0, needed);
    Node* const nodes = internal::attach_object<Node>(memory.subspan(sizeof(Control)), capacity);
    for (std::uint32_t i = 0; i + 1 < capacity; ++i) {
      // Relaxed, all: publishing the memory is the caller's step and carries the order.
      Env::store(nodes[i].next, i + 2, std::memory_order_relaxed);
    }
    const auto count = static_cast<std::uint32_t>(capacity);
    // Relaxed, as above.
    Env::store(control->head, Words(count).idle(1, 0), std::memory_order_relaxed);
    Env::store(control->capacity, std::uint64_t{capacity}, std::memory_order_relaxed);
  }

  /// Throws Error if `memory` holds no stack, or one of another registry.
  explicit BasicIndexStack(std::span<std::byte> memory)
      : control_(internal::attach_object<Control>(memory)),
        capacity_(capacity_in(memory)),
        words_(capacity_),
        nodes_(internal::attach_object<Node>(memory.subspan(sizeof(Control)), capacity_)),
        incarnation_(Env::self().incarnation) {
    std::uint32_t found = 0;
    // Relaxed: no more than the number itself is in question.
    if (!Env::cas(control_->incarnation, found, incarnation_, std::memory_order_relaxed) &&
        found != incarnation_) {
      throw Error(Status::foreign_registry,
                  {.tried = "attach to a stack of indices",
                   .expected = "one of this process's registry, " + std::to_string(incarnation_),
                   .found = "registry " + std::to_string(found)});
    }
  }
  BasicIndexStack(const BasicIndexStack&) = delete;
  BasicIndexStack& operator=(const BasicIndexStack&) = delete;

  /// How many indices there are in all, in the stack and out of it.
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// Takes the index that was pushed last: ok, empty, corrupt or foreign_registry.
  Status try_pop(std::uint32_t& index) {
    const Status status = take(index);
    if (status != Status::empty) {
      fruitless_ = 0;
      return status;
    }
    if (++fruitless_ < kFruitlessBeforeAsking) return status;
    fruitless_ = 0;
    return reclaim() == 0 ? status : take(index);
  }

  /// Gives back an index that this process holds: ok, corrupt or foreign_registry. Throws
  /// std::logic_error if it does not hold it.
  Status push(std::uint32_t index) {
    const Tag me = sign();
    if (me == participant::kNobody) return Status::foreign_registry;
    if (owner_of(index) != me) {
      throw std::logic_error("IndexStack::push(" + std::to_string(index) +
                             "): this process does not hold that index");
    }
    return give_back(index);
  }

  /// Whether nothing is inside. A snapshot, and unlike try_pop() it never asks who lives.
  [[nodiscard]] bool empty() const noexcept {
    const std::uint64_t now = head();
    const std::uint32_t first = words_.first_of(now);
    if (!Words::is_taken(now)) return first == 0;
    // Relaxed: seen with the head. What is no index is try_pop()'s to report.
    return first != 0 && first <= capacity_ &&
           Env::load(nodes_[first - 1].next, std::memory_order_relaxed) == 0;
  }

  /// Who holds this index; nobody if it is in the stack, or is no index at all. A snapshot.
  [[nodiscard]] Tag owner_of(std::uint32_t index) const noexcept {
    if (index >= capacity_) return participant::kNobody;
    // Relaxed: a process knows of its own; of others it is a snapshot.
    const std::uint64_t owner = Env::load(nodes_[index].owner, std::memory_order_relaxed);
    return Words::is_held(owner) ? Words::tag_of(owner) : participant::kNobody;
  }

  /// Whether this process holds an index, or died while it took one. A snapshot.
  [[nodiscard]] bool has_holder(Tag tag) const noexcept {
    const std::uint64_t now = head();
    if (Words::is_taken(now) && Words::tag_of(now) == tag) return true;
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      if (owner_of(i) == tag) return true;
    }
    return false;
  }

  /// Pushes back what the dead hold; returns how many. 0 also if the stack is in such use that no
  /// moment was found to look at it: then it is not empty.
  std::size_t reclaim() {
    const Tag me = sign();
    if (me == participant::kNobody) return 0;
    // First who is dead, then what is inside: who had died by then has pushed nothing since.
    const std::vector<std::uint64_t> owners = dead_owners();
    std::vector<bool> is_inside(capacity_);
    std::size_t count = 0;
    if (!look_for_the_dead(is_inside, count)) return count;
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      std::uint64_t owner = owners[i];
      if (owner == 0 || is_inside[i]) continue;
      const std::uint64_t mine = Words::held(Words::count_of_owner(owner), me);
      // Acquire-release: the kernel, which has told us of the death, knows that all stores of the
      // dead came before; who gets the index next must see them.
      if (!Env::cas(nodes_[i].owner, owner, mine, std::memory_order_acq_rel)) continue;
      if (give_back(i) == Status::ok) ++count;
    }
    return count;
  }

  /// How many are inside; a snapshot, or in great haste the count of some passing moments.
  [[nodiscard]] std::size_t size() {
    std::vector<bool> is_inside(capacity_);
    std::uint64_t when = 0;
    look_at_all(is_inside, when);
    std::size_t count = 0;
    for (const bool inside : is_inside) count += inside ? 1 : 0;
    return count;
  }

 private:
  std::uint32_t capacity_in(std::span<std::byte> memory) const {
    // Relaxed: written before the memory was published, and copied here once.
    const std::uint64_t capacity =
        control_ == nullptr ? 0 : Env::load(control_->capacity, std::memory_order_relaxed);
    if (capacity == 0 || capacity > kMaxCapacity || bytes_for(capacity) > memory.size()) {
      throw Error(Status::corrupt, {.tried = "attach to a stack of indices in " +
                                             std::to_string(memory.size()) + " bytes",
                                    .expected = "a capacity that fits",
                                    .found = std::to_string(capacity)});
    }
    return static_cast<std::uint32_t>(capacity);
  }

  [[nodiscard]] Tag sign() {
    const internal::ThreadState& self = Env::self();
    return self.incarnation != incarnation_ ? participant::kNobody
                                            : internal::LockWord::tag_of(self.me);
  }

  [[nodiscard]] std::uint64_t head() const noexcept {
    // Acquire: pairs with the release of who pushed the top, for its next and what it stands for.
    return Env::load(control_->head, std::memory_order_acquire);
  }
  bool change_head(std::uint64_t from, std::uint64_t to) noexcept {
    // Acquire-release: pairs with itself. Who pops must see what came before the push.
    return Env::cas(control_->head, from, to, std::memory_order_acq_rel);
  }
  enum class Look : std::uint8_t { good, stale, corrupt };

  /// The first of the list, once the index that `head` says was taken names who took it.
  Look first_behind(std::uint64_t head, std::uint32_t& first) noexcept {
    first = words_.first_of(head);
    if (first > capacity_) return Look::corrupt;
    if (!Words::is_taken(head)) return Look::good;
    if (first == 0) return Look::corrupt;
    Node& node = nodes_[first - 1];
    const std::uint64_t named = Words::held(words_.count_of(head), Words::tag_of(head));
    // Acquire: pairs with the release below, and in take().
    std::uint64_t owner = Env::load(node.owner, std::memory_order_acquire);
    if (owner != named) {
      if (this->head() != head) return Look::stale;
      // Acquire-release: who finds the holder dead must see what came before. If it fails, that may
      // be the last holder, who has just noted that it is none any more.
      if (!Env::cas(node.owner, owner, named, std::memory_order_acq_rel)) return Look::stale;
    }
    // Relaxed: seen with the head; if it is not of now, the head's compare-and-swap fails.
    first = Env::load(node.next, std::memory_order_relaxed);
    if (this->head() != head) return Look::stale;
    return first > capacity_ ? Look::corrupt : Look::good;
  }

  Status take(std::uint32_t& index) {
    const Tag me = sign();
    if (me == participant::kNobody) return Status::foreign_registry;
    for (std::uint32_t tries = 0; tries < kMostTries; ++tries) {
      const std::uint64_t was = head();
      std::uint32_t first = 0;
      const Look look = first_behind(was, first);
      if (look == Look::corrupt) return Status::corrupt;
      if (look == Look::stale) continue;
      if (first == 0) return Status::empty;
      const std::uint32_t count = words_.count_of(was) + 1;
      const std::uint64_t mine = words_.taken(first - 1, count, me);
      if (!change_head(was, mine)) continue;
      index = first - 1;
      sign_for(index, Words::held(words_.count_of(mine), me));
      return Status::ok;
    }
    return Status::corrupt;
  }

  /// A helper may have done it; and another thread's push of this index may be about to end.
  void sign_for(std::uint32_t index, std::uint64_t named) noexcept {
    // Relaxed: compared only.
    std::uint64_t owner = Env::load(nodes_[index].owner, std::memory_order_relaxed);
    for (std::uint32_t tries = 0; owner != named && tries < kMostTries; ++tries) {
      // Release: pairs with the acquire in reclaim().
      if (Env::cas(nodes_[index].owner, owner, named, std::memory_order_release)) return;
    }
  }

  /// One that is ours.
  Status give_back(std::uint32_t index) noexcept {
    Node& node = nodes_[index];
    // Relaxed: our own.
    std::uint64_t owner = Env::load(node.owner, std::memory_order_relaxed);
    for (std::uint32_t tries = 0; tries < kMostTries; ++tries) {
      const std::uint64_t was = head();
      // If it was the last to be taken, it goes back in front of what is behind it.
      if (!Words::is_taken(was) || words_.first_of(was) != index + 1) {
        std::uint32_t first = 0;
        const Look look = first_behind(was, first);
        if (look == Look::corrupt) return Status::corrupt;
        if (look == Look::stale) continue;
        // Relaxed: published by the head.
        Env::store(node.next, first, std::memory_order_relaxed);
      }
      if (!change_head(was, words_.idle(index + 1, words_.count_of(was) + 1))) continue;
      // Relaxed: so that it is not pushed twice; the list is what counts. If it fails, another has
      // popped it and signed.
      Env::cas(node.owner, owner, Words::given_back(owner), std::memory_order_relaxed);
      return Status::ok;
    }
    return Status::corrupt;
  }

  /// Marks what is in the list, as of the head `when`. False if the list did not hold still.
  bool look_at_all(std::vector<bool>& is_inside, std::uint64_t& when) {
    for (std::uint32_t tries = 0; tries < kMostLooks; ++tries) {
      when = head();
      std::uint32_t first = 0;
      if (first_behind(when, first) != Look::good) continue;
      is_inside.assign(capacity_, false);
      while (first != 0 && first <= capacity_ && !is_inside[first - 1]) {
        is_inside[first - 1] = true;
        // Acquire: so that the head below is looked at after it.
        first = Env::load(nodes_[first - 1].next, std::memory_order_acquire);
      }
      if (first == 0 && head() == when) return true;
    }
    return false;
  }

  /// Of each index the word of its holder, if that is dead, else 0.
  std::vector<std::uint64_t> dead_owners() const {
    std::vector<std::uint64_t> owners(capacity_);
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      // Acquire: pairs with the release of who took it.
      const std::uint64_t owner = Env::load(nodes_[i].owner, std::memory_order_acquire);
      if (!Words::is_held(owner) || Env::probe(Words::tag_of(owner)) != Liveness::dead) continue;
      owners[i] = owner;
    }
    return owners;
  }

  /// Marks what need not be looked at. An index that the head says was taken is the head's matter,
  /// as long as it does: if the taker is dead it is put back there.
  bool look_for_the_dead(std::vector<bool>& is_inside, std::size_t& put_back) {
    for (std::uint32_t tries = 0; tries < kMostLooks; ++tries) {
      std::uint64_t when = 0;
      if (!look_at_all(is_inside, when)) return false;
      if (!Words::is_taken(when)) return true;
      const std::uint32_t first = words_.first_of(when);
      if (Env::probe(Words::tag_of(when)) != Liveness::dead) {
        is_inside[first - 1] = true;
        return true;
      }
      if (change_head(when, words_.idle(first, words_.count_of(when) + 1))) ++put_back;
    }
    return false;
  }

  static constexpr std::uint32_t kFruitlessBeforeAsking = 64;
  static constexpr std::uint32_t kMostTries = 65536;
  static constexpr std::uint32_t kMostLooks = 16;

  Control* control_;
  std::uint32_t capacity_;
  Words words_;
  Node* nodes_;
  std::uint32_t incarnation_;    ///< of the registry under which the handle was made
  std::uint32_t fruitless_ = 0;  ///< pops in a row that found nothing
};

/// The stack that ships.
using IndexStack = BasicIndexStack<internal::RealLockEnv>;

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_STACK_H_
