// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/thread_state.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "sluice/sync/env.h"
#include "sluice/sync/participant.h"

namespace sluice::internal {

constinit thread_local ThreadState t_thread;

void HeldLocks::watch(void* head) noexcept {
  auto* const list = static_cast<robust_list_head*>(head);
  pending_ =
      list != nullptr ? reinterpret_cast<char* volatile*>(&list->list_op_pending) : &unwatched_;
  offset_ = list != nullptr ? list->futex_offset : 0;
}

void HeldLocks::forget() noexcept {
  count_ = 0;
  if (pending_ != nullptr) give_up();
}

void HeldLocks::grow() {
  const std::uint32_t capacity = std::max<std::uint32_t>(16, 2 * capacity_);
  auto* const larger = static_cast<HeldLock*>(std::realloc(locks_, capacity * sizeof(HeldLock)));
  if (larger == nullptr) throw std::bad_alloc();
  locks_ = larger;
  capacity_ = capacity;
}

void HeldLocks::free_memory() noexcept {
  std::free(locks_);
  locks_ = nullptr;
  count_ = capacity_ = 0;
}

void HeldLocks::remove_inner(const Word<std::uint64_t>& lock) noexcept {
  HeldLock* const found = find(&lock);
  if (found == nullptr) return;
  std::copy(found + 1, locks_ + count_, found);
  --count_;
}

void HeldLocks::abandon(std::uint64_t me) noexcept {
  while (count_ != 0) {
    Word<std::uint64_t>& lock = *locks_[--count_].word;
    std::uint64_t word = me;
    // Release, twice: whoever repairs sees what this thread had written. Only waiters' bits can
    // come in between, and only one of them; a word that is not ours any more stays as it is.
    while (LockWord::owner_of(word) == me &&
           !RealEnv::cas(lock, word, LockWord::abandoned(word), std::memory_order_release)) {
    }
    RealEnv::futex_wake(lock, 1);
  }
  give_up();
}

namespace {

/// This thread ends, or the process does and this thread is the one that said so.
void abandon_held() noexcept {
  // What a parent holds is not its child's to abandon.
  if (const std::uint64_t me = this_thread_if_attached(); me != 0) t_thread.held.abandon(me);
}

void end_thread(void* /*marker*/) {
  abandon_held();
  t_thread.held.free_memory();
  t_thread.me = ThreadState().me;  // a later destructor that takes a lock begins anew
}

/// A key's destructor and not a thread_local's: it runs after all of those, whose objects may still
/// give locks back.
pthread_key_t make_key() {
  pthread_key_t key{};
  if (pthread_key_create(&key, end_thread) != 0) throw std::bad_alloc();
  return key;
}

/// A destructor of the program and not an exit handler: it runs after the destructors of all static
/// objects, which may still give locks back.
[[gnu::destructor]] void end_program() { abandon_held(); }

void* robust_list_of_this_thread() {
  robust_list_head* head = nullptr;
  std::size_t size = 0;
  if (syscall(SYS_get_robust_list, 0, &head, &size) != 0 || size != sizeof *head) return nullptr;
  return head;
}

}  // namespace

void refresh_thread() {
  static const pthread_key_t key = make_key();
  if (pthread_setspecific(key, &t_thread) != 0) throw std::bad_alloc();
  const std::uint64_t tag = participant::self();
  // Relaxed, twice: written before the tag, which self() has loaded with acquire.
  const bool at_home = g_process_state.home_pid_namespace.load(std::memory_order_relaxed) != 0;
  t_thread.incarnation = g_process_state.incarnation.load(std::memory_order_relaxed);  // as above
  t_thread.held.watch(at_home ? robust_list_of_this_thread() : nullptr);
  t_thread.held.forget();
  const auto thread = static_cast<std::uint64_t>(gettid());
  t_thread.reader_cell = static_cast<std::uint32_t>(thread);
  t_thread.me = tag << 32 | thread | (at_home ? 0 : LockWord::kForeignThread);
}

}  // namespace sluice::internal
