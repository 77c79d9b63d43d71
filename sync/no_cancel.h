// SPDX-License-Identifier: Apache-2.0
//
// NoCancel: keeps pthread_cancel(3) from acting inside a scope. Internal: for calls of sluice that
// open or read files on their way, which the C library makes cancellation points; a thread that was
// cancelled there would unwind out of the middle of a lock.
//
// Threads: of the calling thread alone; may be nested. If a process dies here: nothing is shared.
// Cost: two changes of a thread-local flag, no system call.

#ifndef SLUICE_SYNC_NO_CANCEL_H_
#define SLUICE_SYNC_NO_CANCEL_H_

#include <pthread.h>

namespace sluice::internal {

class [[nodiscard]] NoCancel {
 public:
  NoCancel() noexcept { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NoCancel() { pthread_setcancelstate(before_, nullptr); }
  NoCancel(const NoCancel&) = delete;
  NoCancel& operator=(const NoCancel&) = delete;

 private:
  int before_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_NO_CANCEL_H_
