// SPDX-License-Identifier: Apache-2.0
//
// SharedRef: a reference that may travel to the workers of a pool: to something that they have
// inherited, at the same address. Not for what came into being after the pool.
//
//   Mutex& mutex = *Shared<Mutex>();                   // or a Queue, a Value, a table read by all
//   Pool pool;                                         // its workers have the same memory mapped
//   pool.submit([lock = shared_ref(mutex)] { std::scoped_lock hold(*lock); ... });
//
// What it refers to must be there, at this address, when the pool is made (with Pool::prepare():
// when that is called), and stay as long as tasks use it. In shared memory the workers see what
// others write there; anything else is each worker's own copy, as it was then.
//
// Units: none. Errors: none; a reference to what came later is an access to memory that is not
// there, or is another thing. Threads, processes: as what it refers to. If a process dies here:
// nothing of its own. Cost: that of a pointer.

#ifndef SLUICE_POOL_SHARED_REF_H_
#define SLUICE_POOL_SHARED_REF_H_

#include <bit>
#include <cstdint>
#include <memory>

namespace sluice {

/// The address of a T that the workers of a pool have inherited, as bytes that a task may capture.
template <class T>
class SharedRef {
 public:
  /// Refers to nothing.
  SharedRef() = default;
  /// To `object`, which is not copied; it must be there before the pool is.
  explicit SharedRef(T& object) noexcept
      : address_(std::bit_cast<std::uintptr_t>(std::addressof(object))) {}

  /// The same address in each process; nullptr if it refers to nothing.
  [[nodiscard]] T* get() const noexcept { return std::bit_cast<T*>(address_); }
  /// The object that lies there in this process. Not if it refers to nothing.
  T& operator*() const noexcept { return *get(); }
  /// As operator*().
  T* operator->() const noexcept { return get(); }

 private:
  // A number: what holds a pointer is refused as a task's capture, and this is the exception.
  std::uintptr_t address_ = 0;
};

/// For the captures of a task, which can't be a reference.
template <class T>
[[nodiscard]] SharedRef<T> shared_ref(T& object) noexcept {
  return SharedRef<T>(object);
}

}  // namespace sluice

#endif  // SLUICE_POOL_SHARED_REF_H_
