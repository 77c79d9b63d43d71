// SPDX-License-Identifier: Apache-2.0
//
// Domain: the directory in which processes of one user find each other: the registry, which says
// who lives, and the named objects. Not a security border inside one user: whoever runs under the
// same user id is trusted not to be malicious with files.
//
//   Domain& domain = Domain::current();     // opened at first use; SLUICE_DOMAIN names another
//   std::cout << domain.path();             // /dev/shm/sluice-1000
//
// On disk (a tmpfs), everything 0600 under a directory 0700 of the effective user:
//
//   sluice-<euid>[-<name>]/
//     registry-v1      0 magic u64 | 8 version u32 | 12 size u32 | 16 incarnation u64
//                      24 device u64 | 32 inode of live-v1-00 .. live-v1-15, u64 each
//                      160 inode of the creator's pid namespace u64, 0 if unreadable
//                      512 next tag u32 (under the lock of byte kCounterByte)
//                      4096 ring of records, 64 B each: who took a tag, for people
//     live-v1-00 .. 15 empty; the lock on byte kLiveBase + tag of file tag % 16 means "alive"
//     obj-<name>       named objects (ipc/segment.h)
//
// The registry appears complete or not at all (written aside, then renamed, under flock(2) on the
// directory). Its header never changes afterwards and is copied to private memory when opened.
//
// Errors: sluice::Error that names the directory, what was expected of it and what was found.
// Threads: all calls may overlap. Processes: a forked child goes on with what it inherited; if the
// host has closed the descriptors, the directory is opened again and must be the same inode.
// If a process dies here: between any two steps of the creation it leaves nothing that counts; the
// next process repeats it. Cost: set-up only.

#ifndef SLUICE_SYNC_DOMAIN_H_
#define SLUICE_SYNC_DOMAIN_H_

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "sluice/sync/unique_fd.h"

namespace sluice {

class Domain {
 public:
  static constexpr int kLiveFiles = 16;

  /// The process's domain: `sluice-<euid>` in /dev/shm, or `sluice-<euid>-<name>` if the
  /// environment variable SLUICE_DOMAIN (ignored in set-user-id programs) or choose() names one.
  /// Created if absent. Throws Error.
  static Domain& current();

  /// Chooses the domain before anything has used it; throws std::logic_error afterwards.
  static void choose(std::string_view name);

  /// Where the domain called `name` lies, or if that is empty the user's own. Throws Error if
  /// `name` can't name a domain.
  [[nodiscard]] static std::string path_of(std::string_view name);

  /// The path that current() uses or would use; opens and decides nothing.
  [[nodiscard]] static std::string current_path();

  enum class Access : std::uint8_t {
    use,   ///< created if absent
    look,  ///< Error if absent; files are opened for reading only
  };

  /// The domain in `path`; for tools that look at domains other than their own.
  explicit Domain(std::string path, Access access = Access::use);

  Domain(const Domain&) = delete;
  Domain& operator=(const Domain&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// Random number of this registry: tags of different incarnations have nothing to do with each
  /// other.
  [[nodiscard]] std::uint64_t incarnation() const noexcept { return header_.incarnation; }

  /// Whether this process is in the pid namespace of the registry's creator, so that process and
  /// thread ids mean the same to both; false where that can't be known.
  [[nodiscard]] bool in_home_pid_namespace() const noexcept;

  /// A descriptor of the directory, checked to be still the one that was opened. It stays the
  /// domain's. Throws Error if the host closed it and the path now leads elsewhere.
  [[nodiscard]] int directory();

  [[nodiscard]] UniqueFd open_registry();

  /// A new description of liveness file `index`.
  [[nodiscard]] UniqueFd open_live_file(int index);

  /// Whether `fd` is liveness file `index` of this registry, and not a number that was reused.
  [[nodiscard]] bool is_live_file(int fd, int index) const noexcept;

 private:
  /// As in the file. All of it is written before the registry appears.
  struct Header {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t size;
    std::uint64_t incarnation;
    std::uint64_t device;
    std::array<std::uint64_t, kLiveFiles> live_inodes;
    std::uint64_t pid_namespace;
  };

  [[nodiscard]] int open_mode() const noexcept;
  void open_directory();
  void create_registry();
  Header make_header();
  void read_header();

  std::string path_;
  Access access_;
  std::mutex mutex_;  // guards directory_
  UniqueFd directory_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  Header header_ = {};
};

/// Whether `name` may name a domain or an object: 1 to 200 characters of A-Z a-z 0-9 _ . -, the
/// first not a dot.
[[nodiscard]] bool is_valid_name(std::string_view name) noexcept;

}  // namespace sluice

#endif  // SLUICE_SYNC_DOMAIN_H_
