// SPDX-License-Identifier: Apache-2.0
//
// What a call of an item store (ipc/item_store.h) does at its end, after the unlock, also if a
// callback throws: tells who waits for what it made, and who wants what it has left. Internal.
//
//   Telling telling(popped, pushed, done, alike);
//   Held held(lock, deadline);
//   telling.leaves(true);             // until it is known that nothing was left
//
// If a process dies here: sleepers find out at the end of their slice. Cost: none of its own.

#ifndef SLUICE_IPC_ITEM_GUARDS_H_
#define SLUICE_IPC_ITEM_GUARDS_H_

#include <cstddef>

namespace sluice::internal {

template <class Event>
class Telling {
 public:
  /// `made`: for what there are `done` more at the end; `alike`: each of them serves one waiter.
  /// `wanted`: what the call takes, and may have been woken for.
  Telling(Event& made, Event& wanted, const std::size_t& done, bool alike)
      : made_(made), wanted_(wanted), done_(done), one_for_one_(alike ? 1 : 0) {}
  Telling(const Telling&) = delete;
  Telling& operator=(const Telling&) = delete;
  ~Telling() {
    if (done_ != 0 && done_ == one_for_one_) {
      made_.notify_one();
    } else if (done_ != 0) {
      made_.notify_all();
    }
    if (leaves_) [[unlikely]]
      wanted_.notify_one();
  }

  /// Whether what is wanted is there, and this call does not take it.
  void leaves(bool leaves) { leaves_ = leaves; }

 private:
  Event& made_;
  Event& wanted_;
  const std::size_t& done_;
  std::size_t one_for_one_;
  bool leaves_ = false;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ITEM_GUARDS_H_
