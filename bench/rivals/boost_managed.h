// SPDX-License-Identifier: Apache-2.0
//
// Boost's managed_shared_memory with a mutex of Boost's in it, as a subject of the container and
// arena benchmarks. It lies in /dev/shm under a name of its own, which is removed as soon as it is
// mapped: the forked processes inherit the mapping, and nothing can be left behind.

#ifndef SLUICE_BENCH_RIVALS_BOOST_MANAGED_H_
#define SLUICE_BENCH_RIVALS_BOOST_MANAGED_H_

#include <unistd.h>

#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/shared_memory_object.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <cstddef>
#include <string>

namespace sluice::bench {

class BoostManaged {
 public:
  using Memory = boost::interprocess::managed_shared_memory;
  template <class T>
  using Allocator = boost::interprocess::allocator<T, Memory::segment_manager>;

  explicit BoostManaged(std::size_t bytes)
      : memory_(boost::interprocess::create_only, name_.text.c_str(), bytes),
        mutex_(memory_.construct<boost::interprocess::interprocess_mutex>("mutex")()) {
    name_.remove();
  }

  Memory& memory() { return memory_; }

  /// fn() under the mutex, which is a plain one: who dies with it takes it along.
  template <class Fn>
  void with_lock(Fn fn) {
    const boost::interprocess::scoped_lock hold(*mutex_);
    fn();
  }

 private:
  /// Removed also if the memory's constructor throws.
  struct Name {
    Name() : text("sluice-bench-managed-" + std::to_string(::getpid())) {}
    ~Name() { remove(); }
    void remove() const { boost::interprocess::shared_memory_object::remove(text.c_str()); }
    std::string text;
  };

  Name name_;
  Memory memory_;
  boost::interprocess::interprocess_mutex* mutex_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_BOOST_MANAGED_H_
