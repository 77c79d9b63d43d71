// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/subjects/object_bytes.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <system_error>

#include "sluice/ipc/stamp.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

ObjectBytes::ObjectBytes(const UniqueFd& fd) {
  struct stat status = {};
  if (fstat(fd.get(), &status) != 0) fail("look at an object");
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) fail("map an object a second time");
  mapped_ = {static_cast<std::byte*>(memory), size};
}

ObjectBytes::~ObjectBytes() { munmap(mapped_.data(), mapped_.size()); }

std::span<std::byte> ObjectBytes::object() const noexcept { return mapped_.subspan(kObjectOffset); }

}  // namespace sluice::internal
