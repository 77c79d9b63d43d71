// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/shared_queue.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>
#include <system_error>

namespace sluice::internal {
namespace {

/// More than a 32-bit offset can lead astray. Addresses alone cost nothing.
constexpr std::size_t kGuard = std::size_t{1} << 32;
constexpr std::byte kMargin = std::byte{0xa5};

std::size_t in_whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return std::max(page, (bytes + page - 1) / page * page);
}

[[noreturn]] void no_memory() {
  throw std::system_error(errno, std::system_category(), "mapping shared memory for a queue");
}

}  // namespace

GuardedMemory::GuardedMemory(std::size_t bytes)
    : bytes_(bytes),
      mapped_(in_whole_pages(bytes)),
      reserved_(mmap(nullptr, mapped_ + 2 * kGuard, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)),
      begin_(static_cast<std::byte*>(reserved_) + kGuard) {
  if (reserved_ == MAP_FAILED) no_memory();
  if (mmap(begin_, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
           0) == MAP_FAILED) {
    const int error = errno;
    munmap(reserved_, mapped_ + 2 * kGuard);
    errno = error;
    no_memory();
  }
  std::fill(begin_ + bytes_, begin_ + mapped_, kMargin);
}

GuardedMemory::~GuardedMemory() { munmap(reserved_, mapped_ + 2 * kGuard); }

bool GuardedMemory::margin_is_whole() const noexcept {
  return std::all_of(begin_ + bytes_, begin_ + mapped_,
                     [](std::byte byte) { return byte == kMargin; });
}

}  // namespace sluice::internal
