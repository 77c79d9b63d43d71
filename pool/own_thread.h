// SPDX-License-Identifier: Apache-2.0
//
// OwnThread: a thread that an object of the library runs for itself: named, with the host's signals
// blocked, so that its handlers run in its own threads, and joined at its end wherever that is
// possible. Internal.
//
//   OwnThread thread("sluice-calls", [shared = shared_] { shared->run(); });
//   ...
//   thread.finish();   // after the body was told to end
//
// In a child that was forked meanwhile the thread is not there: finish() does nothing, as it does
// in the thread itself, which then ends by itself (so its body must own what it uses).
//
// Errors: the constructor throws Error if the system has no more threads. Threads: one object is
// used by one thread at a time. If a process dies here: nothing is shared. Cost: one thread.

#ifndef SLUICE_POOL_OWN_THREAD_H_
#define SLUICE_POOL_OWN_THREAD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace sluice::internal {

class OwnThread {
 public:
  OwnThread() = default;
  /// Starts it. `name` is cut to 15 bytes.
  OwnThread(const std::string& name, std::function<void()> body);
  OwnThread(OwnThread&&) noexcept = default;
  OwnThread& operator=(OwnThread&& other) noexcept;
  /// finish().
  ~OwnThread();

  /// Joins it, if it is another thread, of this process.
  void finish() noexcept;

  /// Whether it was started, in this process, and finish() was not called.
  [[nodiscard]] bool runs_here() const noexcept;

  [[nodiscard]] bool is_current() const noexcept;

 private:
  // By pointer: a std::thread whose thread exists in another process only can't be destroyed.
  std::unique_ptr<std::thread> thread_;
  std::uint64_t process_ = 0;  ///< process_mark() of where it was started
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_OWN_THREAD_H_
