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
//                      512 next tag u32, raised by one atomic step of whoever takes it
//                      4096 ring of records, 64 B each: who took a tag, for people
//     live-v1-00 .. 15 empty; the lock on byte kLiveBase + tag of file tag % 16 means "alive"
//     obj-<name>       named objects (ipc/segment.h)
//
// The registry appears complete or not at all (sync/new_file.h); of several that are made at once
// the first to get the name is everybody's. Its header never changes afterwards and is copied to
// private memory when opened. A registry whose tags are used up and in which nobody lives is
// replaced by the next process that opens the domain.
//
// Where no directory can be had (no /dev/shm, read-only, no permission), current() is a registry in
// anonymous memory that forked children inherit: anonymous objects work, names are refused, and a
// liveness query costs more, since all locks lie in one file.
//
// Errors: sluice::Error that names the directory, what was expected of it and what was found.
// Status::registry_lost: somebody removed the registry while it was in use; the living go on, names
// are refused. Threads: all calls may overlap; no lock is held, so a fork at any time is harmless.
// Processes: a forked child goes on with what it inherited; if the host has closed the descriptors,
// the directory is opened again and must be the same inode.
// If a process dies here: between any two steps of the creation it leaves nothing that counts; the
// next process repeats it. One that is stopped there holds up nobody. Cost: set-up only.

#ifndef SLUICE_SYNC_DOMAIN_H_
#define SLUICE_SYNC_DOMAIN_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/sync/unique_fd.h"

namespace sluice {

/// A directory with a registry, which says who lives, and the named objects of those processes.
class Domain {
 public:
  /// Over so many files the locks of the living are spread: that of tag t is in file t %
  /// kLiveFiles.
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

  /// What may be done to a domain that is opened by its path.
  enum class Access : std::uint8_t {
    use,   ///< created if absent
    look,  ///< Error if absent; files are opened for reading only
  };

  /// The domain in `path`; for tools that look at domains other than their own.
  explicit Domain(std::string path, Access access = Access::use);

  Domain(const Domain&) = delete;
  Domain& operator=(const Domain&) = delete;

  /// Of the directory; also where that could not be had, and the registry is in memory.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// Random number of this registry: tags of different incarnations have nothing to do with each
  /// other.
  [[nodiscard]] std::uint64_t incarnation() const noexcept { return header_.incarnation; }

  /// Whether this process is in the pid namespace of the registry's creator, so that process and
  /// thread ids mean the same to both; false where that can't be known.
  [[nodiscard]] bool in_home_pid_namespace() const noexcept;

  /// Whether there is a directory, and so names; if not, why not is in what directory() throws.
  [[nodiscard]] bool has_directory() const noexcept { return why_in_memory_.empty(); }

  /// A descriptor of the directory, for names in it, checked to be still the one that was opened.
  /// It stays the domain's. Throws Error: Status::registry_lost if the registry is not in it any
  /// more, std::errc::operation_not_supported if there is no directory.
  [[nodiscard]] int directory();

  /// A descriptor of the registry; its description is shared. Works after the registry was removed
  /// from its directory; Status::registry_lost if the host has closed our descriptor as well.
  [[nodiscard]] UniqueFd open_registry();

  /// How many liveness files there are.
  [[nodiscard]] int live_files() const noexcept { return has_directory() ? kLiveFiles : 1; }

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

  /// A file by its identity, and a descriptor of it that the host may have closed.
  struct Kept {
    std::atomic<int> fd{-1};
    dev_t device = 0;
    ino_t inode = 0;

    ~Kept() { close(); }
    void keep(UniqueFd opened, const struct stat& s) noexcept;
    [[nodiscard]] bool is(const struct stat& s) const noexcept;
    /// The descriptor if it is still ours, otherwise -1.
    [[nodiscard]] int get() const noexcept;
    /// Takes `opened`, unless another thread was faster, in the place of what the host closed.
    int replace(UniqueFd opened) noexcept;
    void close() const noexcept;
  };

  struct InMemory {};
  Domain(InMemory, std::string path, std::string why);
  static Domain* open_current();

  [[nodiscard]] int open_mode() const noexcept;
  void open_directory();
  [[nodiscard]] int find_directory();
  [[nodiscard]] bool open_existing();
  void create_registry();
  [[nodiscard]] bool replace_if_used_up();
  [[nodiscard]] bool is_used_up(int registry) const;
  [[nodiscard]] bool somebody_lives();
  [[nodiscard]] bool registry_has_its_name(int directory) const noexcept;
  void create_in_memory();
  [[nodiscard]] Header make_header() const;
  void find_live_files(Header& header) const;
  void read_header(int registry);
  [[noreturn]] void throw_lost(std::string tried) const;

  std::string path_;
  Access access_;
  std::string why_in_memory_;
  Kept directory_;
  Kept registry_;
  Header header_ = {};
};

/// Whether `name` may name a domain or an object: 1 to 200 characters of A-Z a-z 0-9 _ . -, the
/// first not a dot.
[[nodiscard]] bool is_valid_name(std::string_view name) noexcept;

}  // namespace sluice

#endif  // SLUICE_SYNC_DOMAIN_H_
