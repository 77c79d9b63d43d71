// SPDX-License-Identifier: Apache-2.0
//
// Arrays in shared memory under a process-shared lock, as subjects of the array benchmarks: a plain
// one beside a pthread mutex, and Boost.Interprocess's vector beside its interprocess_mutex.

#ifndef SLUICE_BENCH_RIVALS_LOCKED_ARRAYS_H_
#define SLUICE_BENCH_RIVALS_LOCKED_ARRAYS_H_

#include <unistd.h>

#include <array>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/containers/vector.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <cstddef>
#include <mutex>
#include <span>
#include <string>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/rivals/pthread_lock.h"

namespace sluice::bench {

template <Robust kRobust>
class PthreadArray {
 public:
  explicit PthreadArray(std::size_t bytes)
      : elements_(bytes), bytes_(elements_.bytes().first(bytes)) {}

  template <class Change>
  void with_lock(Change change) {
    const std::lock_guard hold(*mutex_);
    change(bytes_);
  }

 private:
  InShared<PthreadMutex<kRobust>> mutex_;
  SharedMemory elements_;
  std::span<std::byte> bytes_;
};

class BoostArray {
 public:
  explicit BoostArray(std::size_t bytes)
      : memory_(boost::interprocess::create_only, name().c_str(), bytes + kRoom),
        mutex_(*memory_.construct<Mutex>("mutex")()),
        elements_(*memory_.construct<Vector>("array")(bytes, std::byte{},
                                                      Allocator(memory_.get_segment_manager()))) {
    // Whoever has it mapped keeps it; nothing can be left behind.
    boost::interprocess::shared_memory_object::remove(name().c_str());
  }

  template <class Change>
  void with_lock(Change change) {
    const boost::interprocess::scoped_lock<Mutex> hold(mutex_);
    change(std::span<std::byte>(elements_.data(), elements_.size()));
  }

 private:
  using Memory = boost::interprocess::managed_shared_memory;
  using Mutex = boost::interprocess::interprocess_mutex;
  using Allocator = boost::interprocess::allocator<std::byte, Memory::segment_manager>;
  using Vector = boost::interprocess::vector<std::byte, Allocator>;
  static constexpr std::size_t kRoom = std::size_t{1} << 16;  // for its own management

  static std::string name() { return "sluice-bench-array-" + std::to_string(getpid()); }

  Memory memory_;
  Mutex& mutex_;
  Vector& elements_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_LOCKED_ARRAYS_H_
