// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/domain.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <utility>

#include "sluice/sync/error.h"
#include "sluice/sync/registry_format.h"

namespace sluice {
namespace {

constexpr std::uint64_t kMagic = 0x31'67'65'72'65'63'6c'73;  // "slcereg1"
constexpr std::uint32_t kVersion = 1;
constexpr const char* kRegistryName = "registry-v1";
constexpr const char* kUnfinishedName = "registry-v1.new";

std::string live_name(int index) {
  char name[16];
  std::snprintf(name, sizeof name, "live-v1-%02d", index);
  return name;
}

std::string octal(mode_t mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%04o", mode & 07777);
  return text;
}

/// The inode of this process's pid namespace; 0 if it can't be read.
std::uint64_t pid_namespace() noexcept {
  struct stat s = {};
  return stat("/proc/self/ns/pid", &s) == 0 ? s.st_ino : 0;
}

struct Chosen {
  std::mutex mutex;
  std::optional<std::string> name;
  bool used = false;
};

Chosen& chosen() {
  static Chosen& c = *new Chosen;  // never destroyed: objects may outlive main()
  return c;
}

std::string use_current_path() {
  Chosen& c = chosen();
  {
    const std::lock_guard lock(c.mutex);
    c.used = true;
  }
  return Domain::current_path();
}

}  // namespace

bool is_valid_name(std::string_view name) noexcept {
  const auto allowed = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= 200 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), allowed);
}

Domain& Domain::current() {
  static Domain& domain = *new Domain(use_current_path());  // never destroyed, as above
  return domain;
}

std::string Domain::path_of(std::string_view name) {
  std::string path = "/dev/shm/sluice-" + std::to_string(geteuid());
  if (name.empty()) return path;
  if (!is_valid_name(name)) {
    throw Error::from_errno(EINVAL, {.tried = "choose the domain \"" + std::string(name) + "\"",
                                     .expected = "1 to 200 of A-Z a-z 0-9 _ . -, no dot in front",
                                     .hint = "correct SLUICE_DOMAIN or the name given"});
  }
  return path + "-" + std::string(name);
}

std::string Domain::current_path() {
  Chosen& c = chosen();
  const std::lock_guard lock(c.mutex);
  if (c.name) return path_of(*c.name);
  const char* const from_environment = secure_getenv("SLUICE_DOMAIN");
  return path_of(from_environment == nullptr ? "" : from_environment);
}

void Domain::choose(std::string_view name) {
  static_cast<void>(path_of(name));
  Chosen& c = chosen();
  const std::lock_guard lock(c.mutex);
  if (c.used) throw std::logic_error("sluice: the domain is chosen before its first use");
  c.name = std::string(name);
}

Domain::Domain(std::string path, Access access) : path_(std::move(path)), access_(access) {
  open_directory();
  if (access_ == Access::use && faccessat(directory_.get(), kRegistryName, F_OK, 0) != 0) {
    create_registry();
  }
  read_header();
}

int Domain::open_mode() const noexcept { return access_ == Access::use ? O_RDWR : O_RDONLY; }

void Domain::open_directory() {
  if (access_ == Access::use && mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) {
    throw Error::from_errno(
        errno, {.tried = "create the domain directory " + path_,
                .hint = "/dev/shm must be a tmpfs in which this user may create a directory"});
  }
  UniqueFd fd(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    throw Error::from_errno(errno, {.tried = "open the domain directory " + path_,
                                    .expected = "a directory of this user, not a link"});
  }
  struct stat s = {};
  if (fstat(fd.get(), &s) != 0) throw Error::from_errno(errno, {.tried = "examine " + path_});
  if (s.st_uid != geteuid() || (s.st_mode & 077) != 0) {
    throw Error::from_errno(
        EPERM, {.tried = "use the domain directory " + path_,
                .expected = "owner " + std::to_string(geteuid()) + ", mode 0700",
                .found = "owner " + std::to_string(s.st_uid) + ", mode " + octal(s.st_mode),
                .hint = "remove it, or choose another with SLUICE_DOMAIN"});
  }
  device_ = s.st_dev;
  inode_ = s.st_ino;
  directory_ = std::move(fd);
}

void Domain::create_registry() {
  // A description of its own: it ends, and the lock with it, when this scope or this process does.
  const UniqueFd exclusive(openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int locked = -1;
  do {
    locked = flock(exclusive.get(), LOCK_EX);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0) throw Error::from_errno(errno, {.tried = "lock the domain directory " + path_});
  if (faccessat(directory_.get(), kRegistryName, F_OK, 0) == 0) return;

  const Header header = make_header();
  const UniqueFd fd(openat(directory_.get(), kUnfinishedName,
                           O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  const std::uint32_t first_tag = 1;
  if (!fd || !internal::write_at(fd.get(), &header, sizeof header, 0) ||
      !internal::write_at(fd.get(), &first_tag, sizeof first_tag, internal::kCounterOffset) ||
      renameat(directory_.get(), kUnfinishedName, directory_.get(), kRegistryName) != 0) {
    throw Error::from_errno(
        errno, {.tried = "create the registry in " + path_, .hint = "is /dev/shm full?"});
  }
}

Domain::Header Domain::make_header() {
  Header header = {};
  header.magic = kMagic;
  header.version = kVersion;
  header.size = sizeof(Header);
  header.device = device_;
  header.pid_namespace = pid_namespace();
  if (getrandom(&header.incarnation, sizeof header.incarnation, 0) !=
      static_cast<ssize_t>(sizeof header.incarnation)) {
    throw Error::from_errno(errno, {.tried = "draw a random number for the registry"});
  }
  for (int i = 0; i < kLiveFiles; ++i) {
    const std::string name = live_name(i);
    // Files left by a creator that died are used: nobody can have locked them without a registry.
    const UniqueFd fd(
        openat(directory_.get(), name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    struct stat s = {};
    if (!fd || fstat(fd.get(), &s) != 0) {
      throw Error::from_errno(errno, {.tried = "create " + path_ + "/" + name});
    }
    header.live_inodes[static_cast<std::size_t>(i)] = s.st_ino;
  }
  return header;
}

void Domain::read_header() {
  const UniqueFd fd = open_registry();
  Header header = {};
  if (!internal::read_at(fd.get(), &header, sizeof header, 0) || header.magic != kMagic ||
      header.version != kVersion || header.size != sizeof(Header) ||
      header.device != static_cast<std::uint64_t>(device_)) {
    throw Error(Status::corrupt,
                {.tried = "read the registry in " + path_,
                 .expected = "a registry of format " + std::to_string(kVersion),
                 .found = "magic " + std::to_string(header.magic) + ", format " +
                          std::to_string(header.version),
                 .hint = "stop the processes that use it and remove the directory"});
  }
  header_ = header;
}

bool Domain::in_home_pid_namespace() const noexcept {
  return header_.pid_namespace != 0 && header_.pid_namespace == pid_namespace();
}

int Domain::directory() {
  const std::lock_guard lock(mutex_);
  struct stat s = {};
  if (fstat(directory_.get(), &s) == 0 && s.st_dev == device_ && s.st_ino == inode_) {
    return directory_.get();
  }
  // The host has closed our descriptor; the number may be somebody else's by now, so it is dropped.
  static_cast<void>(directory_.release());
  directory_.reset(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory_ || fstat(directory_.get(), &s) != 0 || s.st_dev != device_ ||
      s.st_ino != inode_) {
    throw Error(Status::foreign_registry,
                {.tried = "find the domain directory " + path_ + " again",
                 .expected = "inode " + std::to_string(inode_),
                 .found = directory_ ? "inode " + std::to_string(s.st_ino) : "nothing there",
                 .hint = "somebody removed it while it was in use: restart the processes"});
  }
  return directory_.get();
}

UniqueFd Domain::open_registry() {
  UniqueFd fd(
      openat(directory(), kRegistryName, open_mode() | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    throw Error::from_errno(errno, {.tried = "open the registry in " + path_,
                                    .hint = "was the directory cleaned while in use?"});
  }
  return fd;
}

UniqueFd Domain::open_live_file(int index) {
  const std::string name = live_name(index);
  UniqueFd fd(openat(directory(), name.c_str(), open_mode() | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd || !is_live_file(fd.get(), index)) {
    throw Error(Status::foreign_registry, {.tried = "open " + path_ + "/" + name,
                                           .expected = "the file that the registry names",
                                           .hint = "was the directory cleaned while in use?"});
  }
  return fd;
}

bool Domain::is_live_file(int fd, int index) const noexcept {
  struct stat s = {};
  return fstat(fd, &s) == 0 && s.st_dev == device_ &&
         s.st_ino == header_.live_inodes[static_cast<std::size_t>(index)];
}

}  // namespace sluice
