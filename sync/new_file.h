// SPDX-License-Identifier: Apache-2.0
//
// NewFile: a file that gets its name when it is complete, so that nobody ever sees half of one.
// Internal: how registries and named segments are published.
//
//   for (const auto naming : {NewFile::Naming::late, NewFile::Naming::early}) {
//     NewFile file(directory, "new-17", naming);
//     fill(file.fd());
//     if (file.publish("orders") != NewFile::Published::refused) break;
//   }
//
// Late: the file has no name at all until it is linked (O_TMPFILE, linkat(2) of /proc/self/fd).
// Early, where kernel, file system or a seccomp filter refuse that: it bears a name of its own,
// which is then changed to the final one (renameat2(2), RENAME_NOREPLACE).
//
// Errors: the constructor throws Error; error() has the errno of a refused publish(). Threads: as
// an int. If a process dies here: late leaves nothing; early may leave the file under its early
// name, which is the caller's to find. Cost: three system calls.

#ifndef SLUICE_SYNC_NEW_FILE_H_
#define SLUICE_SYNC_NEW_FILE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

class NewFile {
 public:
  enum class Naming : std::uint8_t { late, early };
  enum class Published : std::uint8_t {
    yes,
    taken,    ///< somebody else's file has that name
    refused,  ///< this way of naming does not work here; error() says why
  };

  /// An empty file in `directory`, which stays the caller's, for reading and writing, mode 0600.
  /// `early_name` must be one that nobody else uses; it is taken if `naming` is early, or if late
  /// is refused.
  NewFile(int directory, std::string early_name, Naming naming);

  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  /// Removes the file if it was not published.
  ~NewFile();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  [[nodiscard]] bool has_early_name() const noexcept { return !early_name_.empty(); }

  /// Gives it its name, if that is free.
  [[nodiscard]] Published publish(const std::string& name);

  /// Gives it its name, in the place of the file that has it. Early only.
  [[nodiscard]] Published publish_over(const std::string& name);

  [[nodiscard]] int error() const noexcept { return error_; }

  /// The descriptor, for good.
  [[nodiscard]] UniqueFd take_fd() noexcept { return std::move(fd_); }

 private:
  [[nodiscard]] Published rename_to(const std::string& name);
  [[nodiscard]] Published not_published() noexcept;

  int directory_;
  std::string early_name_;  // empty: it has none
  UniqueFd fd_;
  int error_ = 0;
};

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_NEW_FILE_H_
