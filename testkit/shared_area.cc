// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/shared_area.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <system_error>

namespace sluice::internal {

void* map_shared(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::system_error(errno, std::system_category(),
                            "mapping shared memory for a crash test");
  }
  return memory;
}

void unmap_shared(void* memory, std::size_t bytes) noexcept { munmap(memory, bytes); }

}  // namespace sluice::internal
