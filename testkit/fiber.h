// SPDX-License-Identifier: Apache-2.0
//
// Fiber: a stack of its own within one thread, entered and left by name. Internal: the virtual
// threads of testkit/scheduler.h.
//
// A fiber runs its body, which must not return: it ends by switching away for good. The next
// switch to it after restart() begins the body anew, from wherever it was left: nothing on its
// stack is destroyed, as in a process that was killed. Exceptions work within a fiber, also where
// several are handling one at the same time; none may leave the body.
//
// Threads: all fibers of a group live and die in one thread. Not under ThreadSanitizer. If a
// process dies here: private memory only. Cost: a switch about 1 us, since ucontext saves the
// signal mask; a stack of 256 KiB of which only the touched pages count.

#ifndef SLUICE_TESTKIT_FIBER_H_
#define SLUICE_TESTKIT_FIBER_H_

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace sluice::internal {

class Fiber {
 public:
  /// The calling thread, on its own stack.
  Fiber();
  /// Throws std::system_error if there is no memory for a stack.
  explicit Fiber(std::function<void()> body);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Leaves this fiber, which is the one that runs, for `to`.
  void switch_to(Fiber& to) noexcept;

  /// This fiber, which does not run, begins anew when it is next switched to.
  void restart() noexcept;

 private:
  /// What the C++ runtime keeps per thread about exceptions (__cxa_eh_globals).
  struct Exceptions {
    void* caught = nullptr;
    unsigned int uncaught = 0;
  };

  static void enter(unsigned int high, unsigned int low) noexcept;
  void run() noexcept;
  void leave_sanitizer(Fiber& to) noexcept;
  void enter_sanitizer() noexcept;

  std::function<void()> body_;
  void* mapping_ = nullptr;  ///< the guard page, then the stack
  const void* stack_ = nullptr;
  std::size_t stack_bytes_ = 0;
  ucontext_t context_ = {};
  jmp_buf base_ = {};
  Exceptions exceptions_;
  bool begun_ = false;
  bool restarts_ = false;
  void* fake_stack_ = nullptr;  ///< AddressSanitizer's
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_FIBER_H_
