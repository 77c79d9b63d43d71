// SPDX-License-Identifier: Apache-2.0
//
// ObjectBytes: a second mapping of an anonymous object, for tests that compare its bytes or
// overwrite them. Internal.
//
// Units: bytes. Errors: std::system_error. Threads and processes: made before a fork, inherited by
// it. If a process dies here: nothing of its own is shared.

#ifndef SLUICE_TESTKIT_SUBJECTS_OBJECT_BYTES_H_
#define SLUICE_TESTKIT_SUBJECTS_OBJECT_BYTES_H_

#include <cstddef>
#include <span>

#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

class ObjectBytes {
 public:
  explicit ObjectBytes(const UniqueFd& fd);
  ~ObjectBytes();
  ObjectBytes(const ObjectBytes&) = delete;
  ObjectBytes& operator=(const ObjectBytes&) = delete;

  /// The object without its stamp. May be written to.
  [[nodiscard]] std::span<std::byte> object() const noexcept;

 private:
  std::span<std::byte> mapped_;
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_SUBJECTS_OBJECT_BYTES_H_
