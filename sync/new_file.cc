// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/new_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "sluice/sync/error.h"

namespace sluice::internal {

NewFile::NewFile(int directory, std::string early_name, Naming naming) : directory_(directory) {
  if (naming == Naming::late) {
    fd_.reset(openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (fd_) return;
  }
  fd_.reset(openat(directory, early_name.c_str(),
                   O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd_) throw Error::from_errno(errno, {.tried = "create the file " + early_name});
  early_name_ = std::move(early_name);
}

NewFile::~NewFile() {
  if (!early_name_.empty()) unlinkat(directory_, early_name_.c_str(), 0);
}

NewFile::Published NewFile::publish(const std::string& name) {
  if (!early_name_.empty()) return rename_to(name);
  const std::string from = "/proc/self/fd/" + std::to_string(fd_.get());
  if (linkat(AT_FDCWD, from.c_str(), directory_, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return Published::yes;
  }
  return not_published();
}

NewFile::Published NewFile::publish_over(const std::string& name) {
  if (renameat(directory_, early_name_.c_str(), directory_, name.c_str()) != 0) {
    return not_published();
  }
  early_name_.clear();
  return Published::yes;
}

NewFile::Published NewFile::rename_to(const std::string& name) {
  if (renameat2(directory_, early_name_.c_str(), directory_, name.c_str(), RENAME_NOREPLACE) == 0) {
    early_name_.clear();
    return Published::yes;
  }
  if (errno == EEXIST) return Published::taken;
  // A file system or a filter that knows no RENAME_NOREPLACE: two names for a moment. The
  // destructor takes the early one away.
  if (linkat(directory_, early_name_.c_str(), directory_, name.c_str(), 0) == 0) {
    return Published::yes;
  }
  return not_published();
}

NewFile::Published NewFile::not_published() noexcept {
  error_ = errno;
  return error_ == EEXIST ? Published::taken : Published::refused;
}

}  // namespace sluice::internal
