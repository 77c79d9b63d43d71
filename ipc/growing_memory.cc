// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/growing_memory.h"

#include <fcntl.h>

#include <exception>
#include <utility>
#include <vector>

#include "sluice/ipc/allocate.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

/// Scratch memory beyond this is given back with the next use.
constexpr std::size_t kScratchKept = std::size_t{1} << 20;

std::vector<std::byte>& scratch_of_thread() noexcept {
  thread_local std::vector<std::byte> bytes;
  return bytes;
}

std::string& trouble_of_thread() noexcept {
  thread_local std::string text;
  return text;
}

}  // namespace

GrowingMemory::GrowingMemory(const Segment& segment, std::size_t offset, std::string what)
    : fd_(segment.fd()), start_(kObjectOffset + offset), what_(std::move(what)) {}

bool GrowingMemory::back(std::uint64_t from, std::uint64_t to) noexcept {
  std::string& trouble = trouble_of_thread();
  try {
    trouble.clear();
    allocate_range(fd_.get(), start_ + from, start_ + to, what_);
    return true;
  } catch (const std::exception& e) {
    trouble = e.what();
    return false;
  }
}

void GrowingMemory::give_back(std::uint64_t from, std::uint64_t to) noexcept {
  // A kernel that refuses keeps the memory, which is then used again.
  static_cast<void>(fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(start_ + from), static_cast<off_t>(to - from)));
}

const std::string& GrowingMemory::trouble() noexcept { return trouble_of_thread(); }

std::span<std::byte> record_scratch(std::size_t size) {
  std::vector<std::byte>& scratch = scratch_of_thread();
  if (scratch.capacity() > kScratchKept && size <= kScratchKept)
    std::vector<std::byte>().swap(scratch);
  if (scratch.size() < size) scratch.resize(size);
  return std::span(scratch).first(size);
}

}  // namespace sluice::internal
