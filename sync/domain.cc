// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/domain.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <stdexcept>
#include <utility>

#include "sluice/sync/error.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/new_file.h"
#include "sluice/sync/registry_format.h"

namespace sluice {
namespace {

using internal::FileHold;
using internal::NewFile;

constexpr std::uint64_t kMagic = 0x31'67'65'72'65'63'6c'73;  // "slcereg1"
constexpr std::uint32_t kVersion = 1;
constexpr const char* kRegistryName = "registry-v1";

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

// The choice, and the domain: atomics rather than a lock and local statics, since a child that is
// forked in the middle of a lock or of an initialisation could use neither.
constinit std::atomic<const std::string*> g_chosen_name = nullptr;
constinit std::atomic<bool> g_in_use = false;
constinit std::atomic<Domain*> g_current = nullptr;

std::string use_current_path() {
  // Sequentially consistent: choose() stores the name and then looks here.
  g_in_use.store(true, std::memory_order_seq_cst);
  return Domain::current_path();
}

/// Whether the error says that no directory can be had here, rather than that there is one which is
/// not to be trusted, or that somebody is removing this moment.
bool says_no_directory(const Error& e, const std::filesystem::path& path) {
  if (e.code() == std::errc::no_such_file_or_directory) {
    std::error_code ignored;
    return !std::filesystem::exists(path.parent_path(), ignored);
  }
  return e.code() == std::errc::permission_denied || e.code() == std::errc::read_only_file_system;
}

void write_registry(int fd, const void* header, std::size_t size, const std::string& where) {
  const std::uint32_t first_tag = 1;
  if (!internal::write_at(fd, header, size, 0) ||
      !internal::write_at(fd, &first_tag, sizeof first_tag, internal::kCounterOffset)) {
    throw Error::from_errno(
        errno, {.tried = "write the registry in " + where, .hint = "is /dev/shm full?"});
  }
}

std::uint64_t random_number() {
  std::uint64_t number = 0;
  if (getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
    throw Error::from_errno(errno, {.tried = "draw a random number for the registry"});
  }
  return number;
}

std::string unfinished_name() {
  return std::string(kRegistryName) + ".new-" + std::to_string(random_number());
}

/// How often a registry may come and go under our eyes before that is called an error.
constexpr int kMostAttempts = 100;

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
  // Acquire: pairs with the release below, so that the object is seen complete.
  Domain* current = g_current.load(std::memory_order_acquire);
  if (current != nullptr) return *current;
  Domain* const opened = open_current();
  // Acquire and release: as above. It is never destroyed: objects may outlive main().
  if (g_current.compare_exchange_strong(current, opened, std::memory_order_acq_rel)) return *opened;
  delete opened;  // another thread was faster
  return *current;
}

Domain* Domain::open_current() {
  std::string path = use_current_path();
  try {
    return new Domain(path);
  } catch (const Error& e) {
    if (!says_no_directory(e, path)) throw;
    return new Domain(InMemory(), std::move(path), e.what());
  }
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
  // Acquire: the text was written before the pointer to it was stored.
  if (const std::string* const name = g_chosen_name.load(std::memory_order_acquire)) {
    return path_of(*name);
  }
  const char* const from_environment = secure_getenv("SLUICE_DOMAIN");
  return path_of(from_environment == nullptr ? "" : from_environment);
}

void Domain::choose(std::string_view name) {
  static_cast<void>(path_of(name));
  const auto refuse = [] {
    throw std::logic_error("sluice: the domain is chosen before its first use");
  };
  if (g_in_use.load(std::memory_order_seq_cst)) refuse();  // sequentially consistent: as below
  // The text that is replaced is left, as others may be reading it.
  const auto* const text = new std::string(name);
  // Sequentially consistent, both: either the first use sees this name, or this sees that use.
  g_chosen_name.store(text, std::memory_order_seq_cst);
  if (g_in_use.load(std::memory_order_seq_cst)) refuse();  // as above
}

Domain::Domain(std::string path, Access access) : path_(std::move(path)), access_(access) {
  open_directory();
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    if (!open_existing()) {
      create_registry();
    } else if (access_ == Access::look || !replace_if_used_up()) {
      return;
    }
  }
  throw Error(Status::busy, {.tried = "open the registry in " + path_,
                             .found = "one that others keep removing or replacing"});
}

Domain::Domain(InMemory, std::string path, std::string why)
    : path_(std::move(path)), access_(Access::use), why_in_memory_(std::move(why)) {
  create_in_memory();
}

void Domain::Kept::keep(UniqueFd opened, const struct stat& s) noexcept {
  close();
  // Relaxed, here and below: a descriptor is a number; what it refers to is the kernel's business.
  fd.store(opened.release(), std::memory_order_relaxed);
  device = s.st_dev;
  inode = s.st_ino;
}

bool Domain::Kept::is(const struct stat& s) const noexcept {
  return s.st_dev == device && s.st_ino == inode;
}

int Domain::Kept::get() const noexcept {
  struct stat s = {};
  const int number = fd.load(std::memory_order_relaxed);  // relaxed: as in keep()
  return fstat(number, &s) == 0 && is(s) ? number : -1;
}

int Domain::Kept::replace(UniqueFd opened) noexcept {
  int old = fd.load(std::memory_order_relaxed);  // relaxed: as in keep()
  // The kernel gives out the lowest free number: often the very one that the host has freed.
  if (old == opened.get()) return opened.release();
  // Relaxed: as in keep(). The old number may be somebody else's by now, so it is not closed.
  if (get() < 0 && fd.compare_exchange_strong(old, opened.get(), std::memory_order_relaxed)) {
    return opened.release();
  }
  return get();
}

void Domain::Kept::close() const noexcept {
  if (const int number = get(); number >= 0) ::close(number);
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
  directory_.keep(std::move(fd), s);
}

bool Domain::open_existing() {
  UniqueFd fd(
      openat(find_directory(), kRegistryName, open_mode() | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno == ENOENT && access_ == Access::use) return false;
  struct stat s = {};
  if (!fd || fstat(fd.get(), &s) != 0) {
    throw Error::from_errno(errno, {.tried = "open the registry in " + path_,
                                    .expected = "a file of this user, not a link"});
  }
  read_header(fd.get());
  registry_.keep(std::move(fd), s);
  return true;
}

void Domain::create_registry() {
  const Header header = make_header();
  int error = 0;
  for (const auto naming : {NewFile::Naming::late, NewFile::Naming::early}) {
    NewFile file(find_directory(), unfinished_name(), naming);
    write_registry(file.fd(), &header, sizeof header, path_);
    if (file.publish(kRegistryName) != NewFile::Published::refused) return;
    error = file.error();
  }
  throw Error::from_errno(error, {.tried = "name the registry in " + path_});
}

bool Domain::replace_if_used_up() {
  const int registry = registry_.get();
  if (!is_used_up(registry) || somebody_lives()) return false;
  // Only who holds this lock replaces this registry, so what is true below stays true.
  const auto exclusive = FileHold::take(internal::open_anew(registry), internal::kReplaceByte,
                                        FileHold::Mode::write, FileHold::OnFork::drop);
  if (!exclusive) {
    throw Error(Status::busy, {.tried = "replace the used-up registry in " + path_,
                               .found = "another process that does so, and may be stopped",
                               .hint = "try again"});
  }
  if (!registry_has_its_name(find_directory()))
    return true;  // somebody else was faster: look again
  if (somebody_lives()) return false;
  const Header header = make_header();
  NewFile file(find_directory(), unfinished_name(), NewFile::Naming::early);
  write_registry(file.fd(), &header, sizeof header, path_);
  if (file.publish_over(kRegistryName) == NewFile::Published::yes) return true;
  throw Error::from_errno(file.error(), {.tried = "replace the used-up registry in " + path_});
}

bool Domain::is_used_up(int registry) const {
  std::uint32_t next = 0;
  if (!internal::read_at(registry, &next, sizeof next, internal::kCounterOffset)) {
    throw Error::from_errno(errno, {.tried = "read the counter of " + path_});
  }
  return internal::is_used_up(next);
}

bool Domain::somebody_lives() {
  for (int i = 0; i < live_files(); ++i) {
    const UniqueFd fd = open_live_file(i);
    if (FileHold::is_held(fd.get(), internal::kLiveBase, internal::kLiveBytes)) return true;
  }
  return false;
}

bool Domain::registry_has_its_name(int directory) const noexcept {
  struct stat s = {};
  return fstatat(directory, kRegistryName, &s, AT_SYMLINK_NOFOLLOW) == 0 && registry_.is(s);
}

void Domain::create_in_memory() {
  UniqueFd fd(memfd_create("sluice-registry", MFD_CLOEXEC));
  struct stat s = {};
  if (!fd || fstat(fd.get(), &s) != 0) {
    throw Error::from_errno(errno, {.tried = "make a registry in memory, as there is no directory",
                                    .found = why_in_memory_});
  }
  header_ = make_header();
  header_.device = s.st_dev;
  header_.live_inodes.fill(s.st_ino);
  write_registry(fd.get(), &header_, sizeof header_, "memory");
  registry_.keep(std::move(fd), s);
}

Domain::Header Domain::make_header() const {
  Header header = {};
  header.magic = kMagic;
  header.version = kVersion;
  header.size = sizeof(Header);
  header.incarnation = random_number();
  header.device = directory_.device;
  header.pid_namespace = pid_namespace();
  if (has_directory()) find_live_files(header);
  return header;
}

void Domain::find_live_files(Header& header) const {
  for (int i = 0; i < kLiveFiles; ++i) {
    const std::string name = live_name(i);
    // Files that are there already are used: of creators that died, of others at work this moment,
    // or of a used-up registry.
    const UniqueFd fd(
        openat(directory_.get(), name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    struct stat s = {};
    if (!fd || fstat(fd.get(), &s) != 0) {
      throw Error::from_errno(errno, {.tried = "create " + path_ + "/" + name});
    }
    header.live_inodes[static_cast<std::size_t>(i)] = s.st_ino;
  }
}

void Domain::read_header(int registry) {
  Header header = {};
  if (!internal::read_at(registry, &header, sizeof header, 0) || header.magic != kMagic ||
      header.version != kVersion || header.size != sizeof(Header) ||
      header.device != static_cast<std::uint64_t>(directory_.device)) {
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
  if (!has_directory()) {
    throw Error::from_errno(
        EOPNOTSUPP, {.tried = "use names in " + path_,
                     .expected = "a domain directory",
                     .found = why_in_memory_,
                     .hint = "use objects without names, or make /dev/shm usable and restart"});
  }
  const int fd = find_directory();
  if (!registry_has_its_name(fd)) throw_lost("use names in " + path_);
  return fd;
}

int Domain::find_directory() {
  if (const int fd = directory_.get(); fd >= 0) return fd;
  // The host has closed our descriptor.
  UniqueFd fd(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat s = {};
  if (!fd || fstat(fd.get(), &s) != 0 || !directory_.is(s)) {
    throw_lost("find the domain directory " + path_ + " again");
  }
  return directory_.replace(std::move(fd));
}

UniqueFd Domain::open_registry() {
  const int kept = registry_.get();
  if (kept >= 0) return UniqueFd(fcntl(kept, F_DUPFD_CLOEXEC, 0));
  if (!has_directory()) throw_lost("find the registry again");
  UniqueFd fd(
      openat(find_directory(), kRegistryName, open_mode() | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat s = {};
  if (!fd || fstat(fd.get(), &s) != 0 || !registry_.is(s)) {
    throw_lost("open the registry in " + path_);
  }
  return fd;
}

UniqueFd Domain::open_live_file(int index) {
  if (!has_directory()) {
    const int kept = registry_.get();
    if (kept < 0) throw_lost("find the registry again");
    return internal::open_anew(kept);
  }
  const std::string name = live_name(index);
  UniqueFd fd(
      openat(find_directory(), name.c_str(), open_mode() | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno != ENOENT)
    throw Error::from_errno(errno, {.tried = "open " + path_ + "/" + name});
  if (!fd || !is_live_file(fd.get(), index)) throw_lost("open " + path_ + "/" + name);
  return fd;
}

bool Domain::is_live_file(int fd, int index) const noexcept {
  struct stat s = {};
  return fstat(fd, &s) == 0 && s.st_dev == header_.device &&
         s.st_ino == header_.live_inodes[static_cast<std::size_t>(index)];
}

void Domain::throw_lost(std::string tried) const {
  throw Error(Status::registry_lost,
              {.tried = std::move(tried),
               .expected = "the registry that this process has joined",
               .found = "that it was removed, replaced or moved away while in use",
               .hint = "what is open goes on; for new names restart all processes of the domain, "
                       "and let nobody clean " +
                       path_});
}

}  // namespace sluice
