// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/sealed_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "sluice/ipc/allocate.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice::internal {
namespace {

/// Linux 5.1; missing from the headers of older distributions.
constexpr int kSealFutureWrite = 0x0010;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | kSealFutureWrite | F_SEAL_SEAL;
constexpr std::size_t kPage = 4096;
constexpr const char* kMaking = "make the memory of a sealed connection";
constexpr const char* kAttaching = "attach to a peer's sealed memory";

[[noreturn]] void refuse(Status status, std::string expected, std::string found) {
  throw Error(status, {.tried = kAttaching,
                       .expected = std::move(expected),
                       .found = std::move(found),
                       .hint = "the peer is no sealed connection, or not to be trusted: close it"});
}

std::size_t checked_size(int fd, std::size_t most) {
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    refuse(Status::mismatch, "a memfd sealed against shrinking, growing and writing",
           seals < 0 ? "another file" : "seals " + std::to_string(seals));
  }
  struct statfs system = {};
  struct stat file = {};
  if (fstatfs(fd, &system) != 0 || fstat(fd, &file) != 0) {
    throw Error::from_errno(errno, {.tried = kAttaching});
  }
  // Huge pages are reserved, and may be missing when they are touched.
  if (system.f_type != TMPFS_MAGIC) refuse(Status::mismatch, "memory of ordinary pages", "another");
  const auto size = static_cast<std::uint64_t>(file.st_size);
  if (size < kObjectOffset + kSealedRing || size > most || size % kPage != 0) {
    refuse(Status::too_large, "at most " + std::to_string(most) + " bytes, in whole pages",
           std::to_string(size));
  }
  // What is missing would be taken from this process's allowance when it is read.
  const auto allocated = static_cast<std::uint64_t>(file.st_blocks) * 512;
  if (allocated < size) {
    refuse(Status::mismatch, std::to_string(size) + " bytes of memory", std::to_string(allocated));
  }
  return size;
}

}  // namespace

SealedMemory SealedMemory::make(std::size_t capacity, std::size_t max_message) {
  const std::size_t bytes = kObjectOffset + kSealedRing + ByteRing::bytes_for(capacity);
  const std::size_t size = (bytes + kPage - 1) / kPage * kPage;
  UniqueFd fd(memfd_create("sluice-sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) {
    throw Error::from_errno(errno, {.tried = kMaking, .hint = "memfd_create(2) must be allowed"});
  }
  allocate_file(fd.get(), size, "the memory of a sealed connection");
  SealedMemory made(std::move(fd), size, PROT_READ | PROT_WRITE);
  const Stamp stamp = make_stamp_of_no_registry(kSealedKind, size);
  std::memcpy(made.mapped_.data(), &stamp, sizeof stamp);
  ByteRing::format(made.ring(), capacity);
  // Relaxed: the descriptor is sent afterwards, which carries the order.
  RealEnv::store(made.control_->max_message, std::uint64_t{max_message}, std::memory_order_relaxed);
  if (fcntl(made.fd_.get(), F_ADD_SEALS, kSeals) != 0) {
    throw Error::from_errno(errno, {.tried = kMaking, .expected = "a memfd that can be sealed"});
  }
  return made;
}

SealedMemory SealedMemory::attach(UniqueFd fd, std::size_t most) {
  const std::size_t size = checked_size(fd.get(), most);
  const std::string what = "a peer's sealed memory";
  check_kind(read_stamp(fd.get(), what), kSealedKind, what);
  SealedMemory attached(std::move(fd), size, PROT_READ);
  attached.fd_.reset();
  return attached;
}

SealedMemory::SealedMemory(UniqueFd fd, std::size_t size, int protection) : fd_(std::move(fd)) {
  void* const address = mmap(nullptr, size, protection, MAP_SHARED, fd_.get(), 0);
  if (address == MAP_FAILED) throw Error::from_errno(errno, {.tried = "map sealed memory"});
  mapped_ = {static_cast<std::byte*>(address), size};
  // Not for core dumps: it may be large, and is not this process's alone.
  madvise(address, size, MADV_DONTDUMP);
  control_ = attach_object<SealedControl>(object());
}

SealedMemory::SealedMemory(SealedMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      mapped_(std::exchange(other.mapped_, {})),
      control_(std::exchange(other.control_, nullptr)) {}

SealedMemory::~SealedMemory() {
  if (!mapped_.empty()) munmap(mapped_.data(), mapped_.size());
}

}  // namespace sluice::internal
