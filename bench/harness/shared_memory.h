// SPDX-License-Identifier: Apache-2.0
//
// SharedMemory: anonymous zeroed memory that a process and the children it forks later all see;
// gone with the last of them, so nothing can be left behind. The rivals are placed here.
//
// The harness does not use sluice's own segments: what measures must not depend on what is
// measured.

#ifndef SLUICE_BENCH_HARNESS_SHARED_MEMORY_H_
#define SLUICE_BENCH_HARNESS_SHARED_MEMORY_H_

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <new>
#include <span>
#include <system_error>
#include <utility>

namespace sluice::bench {

class SharedMemory {
 public:
  explicit SharedMemory(std::size_t size)
      : base_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        size_(size) {
    if (base_ == MAP_FAILED) {
      throw std::system_error(errno, std::generic_category(), "map shared memory");
    }
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { ::munmap(base_, size_); }

  [[nodiscard]] std::span<std::byte> bytes() const {
    return {static_cast<std::byte*>(base_), size_};
  }
  /// Page aligned.
  [[nodiscard]] void* base() const { return base_; }

 private:
  void* base_;
  std::size_t size_;
};

/// A T in memory of its own, never destroyed: other processes may be in it. Its type must hold no
/// pointers.
template <class T>
class InShared {
 public:
  template <class... Args>
  explicit InShared(Args&&... args)
      : memory_(sizeof(T)), object_(new(memory_.base()) T(std::forward<Args>(args)...)) {}

  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }

 private:
  SharedMemory memory_;
  T* object_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_SHARED_MEMORY_H_
