// SPDX-License-Identifier: Apache-2.0
//
// Gives each shared mapping a stretch of unreachable addresses on both sides, so that an
// access outside faults in any build, instead of hitting whatever the kernel had put next to it.
// Linked with --wrap=mmap --wrap=munmap; our own calls come here, libc's do not.

#include "sluice/fuzz/guarded_mmap.h"

#include <sys/mman.h>

#include <cstddef>
#include <map>
#include <mutex>

namespace {

/// More than a 32-bit offset can lead astray. Addresses alone cost nothing.
constexpr std::size_t kGuard = std::size_t{1} << 32;
constexpr std::size_t kPage = 4096;

std::mutex g_mutex;  // guards guarded()

/// Start of each guarded mapping, and its size in whole pages.
std::map<void*, std::size_t>& guarded() {
  static auto& mappings = *new std::map<void*, std::size_t>;
  return mappings;
}

}  // namespace

std::map<void*, std::size_t> sluice::fuzz::guarded_mappings() {
  const std::lock_guard lock(g_mutex);
  return guarded();
}

// The linker's names. NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" {

void* __real_mmap(void* address, std::size_t length, int protection, int flags, int fd, off_t at);
int __real_munmap(void* address, std::size_t length);

void* __wrap_mmap(void* address, std::size_t length, int protection, int flags, int fd, off_t at) {
  // Who says where it lies has seen to its surroundings.
  if ((flags & MAP_SHARED) == 0 || (flags & MAP_FIXED) != 0 || length == 0) {
    return __real_mmap(address, length, protection, flags, fd, at);
  }
  const std::size_t pages = (length + kPage - 1) / kPage * kPage;
  void* const reserved = __real_mmap(nullptr, pages + 2 * kGuard, PROT_NONE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return MAP_FAILED;
  void* const middle = static_cast<std::byte*>(reserved) + kGuard;
  if (__real_mmap(middle, length, protection, flags | MAP_FIXED, fd, at) == MAP_FAILED) {
    __real_munmap(reserved, pages + 2 * kGuard);
    return MAP_FAILED;
  }
  const std::lock_guard lock(g_mutex);
  guarded()[middle] = pages;
  return middle;
}

int __wrap_munmap(void* address, std::size_t length) {
  const std::lock_guard lock(g_mutex);
  const auto found = guarded().find(address);
  if (found == guarded().end()) return __real_munmap(address, length);
  const std::size_t all = found->second + 2 * kGuard;
  guarded().erase(found);
  return __real_munmap(static_cast<std::byte*>(address) - kGuard, all);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
