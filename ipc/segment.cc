// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <limits>
#include <memory>
#include <sstream>
#include <vector>

#include "sluice/ipc/allocate.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/observer.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice {
namespace {

using internal::FileHold;
using internal::NewFile;

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
/// How often a name may change hands under our eyes before that is called an error.
constexpr int kMostAttempts = 1000;
constexpr std::string_view kObject = "obj-";
constexpr const char* kMoreDescriptors = "close some descriptors, or raise the limit (ulimit -n)";

std::string file_name(std::string_view name) {
  if (!is_valid_name(name)) {
    throw Error::from_errno(EINVAL, {.tried = "use the name \"" + std::string(name) + "\"",
                                     .expected = "1 to 200 of A-Z a-z 0-9 _ . -, no dot in front"});
  }
  return std::string(kObject) + std::string(name);
}

/// "shared acme.Bank", "pipe".
std::string kind_text(const SegmentKind& kind) {
  std::string text(kind.name);
  if (!kind.type.empty()) text.append(" ").append(kind.type);
  return text;
}

std::string quoted(const SegmentKind& kind, std::string_view name) {
  return kind_text(kind) + " \"" + std::string(name) + "\"";
}

std::string octal(mode_t mode) {
  std::ostringstream out;
  out << '0' << std::oct << mode;
  return out.str();
}

void check_mode(mode_t mode, const std::string& what) {
  if ((mode & 0600) == 0600 && (mode & ~mode_t{0666}) == 0) return;
  throw Error::from_errno(EINVAL, {.tried = "create " + what,
                                   .expected = "a mode of read and write bits, 0600 among them",
                                   .found = octal(mode)});
}

/// Runs `call`, whose errors do not know which object it is for, and names that in them.
template <class Call>
auto naming(const std::string& tried, Call call) {
  try {
    return call();
  } catch (const Error& e) {
    ErrorText text = e.text();
    text.tried = tried + ": " + text.tried;
    if (e.code() == std::errc::too_many_files_open) text.hint = kMoreDescriptors;
    throw Error(e.code(), std::move(text));
  }
}

std::optional<FileHold> hold_in_use(int fd, const std::string& tried) {
  return naming(tried, [&] {
    return FileHold::take(internal::open_anew(fd), Segment::kInUseByte, FileHold::Mode::read,
                          FileHold::OnFork::keep);
  });
}

constexpr std::string_view kUnfinished = "new-";

/// A name for a file that is being made, which nobody else uses: the tag is this process's own.
std::string unfinished_name() {
  static std::atomic<unsigned> last = 0;
  // Relaxed: only that no two get one number matters.
  const unsigned number = last.fetch_add(1, std::memory_order_relaxed);
  return std::string(kUnfinished) + std::to_string(participant::self()) + "-" +
         std::to_string(number);
}

/// The tag in a name as above; kNobody in any other.
Tag maker_of(std::string_view name) {
  Tag tag = participant::kNobody;
  if (name.starts_with(kUnfinished)) {
    std::from_chars(name.data() + kUnfinished.size(), name.data() + name.size(), tag);
  }
  return tag;
}

/// Empty if the directory can't be read.
std::vector<std::string> files_in_domain() {
  UniqueFd anew(openat(Domain::current().directory(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(anew.get()), closedir);
  if (!entries) return {};
  static_cast<void>(anew.release());
  std::vector<std::string> files;
  while (const dirent* const entry = readdir(entries.get())) files.emplace_back(entry->d_name);
  std::sort(files.begin(), files.end());
  return files;
}

/// Removes what processes left that were killed while they made an object under such a name.
void remove_unfinished() {
  for (const std::string& file : files_in_domain()) {
    const Tag maker = maker_of(file);
    if (maker != participant::kNobody && participant::probe(maker) == Liveness::dead) {
      const pid_t pid = participant::noted_pid(maker);
      if (unlinkat(Domain::current().directory(), file.c_str(), 0) == 0) {
        internal::tell_stale_removed(file, pid);
      }
    }
  }
}

/// A file without a name: a memfd, or where that is refused one in the domain, which nobody can
/// open either.
UniqueFd open_anonymous(const SegmentKind& kind, const std::string& what) {
  UniqueFd fd(
      memfd_create(("sluice-" + std::string(kind.name)).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd) return fd;
  const int error = errno;
  const bool too_many = error == EMFILE || error == ENFILE;
  if (too_many || !Domain::current().has_directory()) {
    throw Error::from_errno(
        error, {.tried = "create " + what,
                .hint = too_many ? kMoreDescriptors : "memfd_create(2) must be allowed"});
  }
  return NewFile(Domain::current().directory(), unfinished_name(), NewFile::Naming::late).take_fd();
}

UniqueFd open_file(const std::string& file) {
  return UniqueFd(openat(Domain::current().directory(), file.c_str(),
                         O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

void give_memory(int fd, std::size_t size, const SegmentOptions& options, const std::string& what) {
  if (!options.backed || *options.backed >= size - kObjectOffset) {
    internal::allocate_file(fd, size, what);
  } else {
    internal::allocate_file(fd, size, kObjectOffset + *options.backed, what);
  }
}

void check_file(int fd, const std::string& what) {
  struct stat s = {};
  if (fstat(fd, &s) != 0) throw Error::from_errno(errno, {.tried = "examine " + what});
  if (S_ISREG(s.st_mode) && s.st_uid == geteuid()) return;
  throw Error::from_errno(
      EPERM, {.tried = "attach to " + what,
              .expected = "a regular file of this user",
              .found = "owner " + std::to_string(s.st_uid) + ", mode " + octal(s.st_mode),
              .hint = "remove it if it is not meant to be there"});
}

/// That nobody but those whom its creator named may reach it, and that its owner may.
void check_permissions(int fd, const Stamp& stamp, const std::string& what) {
  struct stat s = {};
  if (fstat(fd, &s) != 0) throw Error::from_errno(errno, {.tried = "examine " + what});
  const mode_t expected = 0600 | stamp.others_mode();
  if ((s.st_mode & 0600) == 0600 && (s.st_mode & 077 & ~expected) == 0) return;
  throw Error::from_errno(EPERM, {.tried = "attach to " + what,
                                  .expected = "mode " + octal(expected),
                                  .found = "mode " + octal(s.st_mode & 07777),
                                  .hint = "somebody has changed it; chmod it, or remove it"});
}

[[noreturn]] void throw_not_opened(int error, const std::string& file, const std::string& what) {
  ErrorText text = {.tried = "open " + what, .expected = "a file of this user, not a link"};
  struct stat s = {};
  if (error == EACCES &&
      fstatat(Domain::current().directory(), file.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0) {
    text.expected = "a file that this process may read and write";
    text.found = "owner " + std::to_string(s.st_uid) + ", mode " + octal(s.st_mode & 07777);
    text.hint = "chmod it, or remove it";
  } else if (error == EMFILE || error == ENFILE) {
    text.expected = "a free descriptor";
    text.hint = kMoreDescriptors;
  }
  throw Error::from_errno(error, std::move(text));
}

/// Whether the name still leads to the file behind `fd`.
bool leads_to(const std::string& file, int fd) {
  struct stat named = {};
  struct stat opened = {};
  return fstatat(Domain::current().directory(), file.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         fstat(fd, &opened) == 0 && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

/// For somebody who is about to remove a name, or makes sure that it is used: a few system calls'
/// work, unless that process is stopped.
class Patience {
 public:
  /// Waits a moment; false once it has waited often and long enough.
  bool wait() {
    constexpr int kYields = 64;
    constexpr timespec kMoment = {.tv_sec = 0, .tv_nsec = 500'000};
    if (++attempts_ <= kYields) return sched_yield() == 0;
    nanosleep(&kMoment, nullptr);
    return !end_.passed();
  }

 private:
  int attempts_ = 0;
  Deadline end_ = std::chrono::milliseconds(250);
};

enum class Removal { removed, in_use, gone };

/// Removes the name of the file behind `fd` if nobody uses the file. Whoever would attach waits
/// meanwhile for the lock, and then finds that the file has no name.
Removal remove_if_unused(const std::string& file, int fd) {
  // One call, and nobody else has to wait for us, in by far the most frequent case.
  if (FileHold::is_held(fd, Segment::kInUseByte)) return Removal::in_use;
  const auto exclusive = FileHold::take(internal::open_anew(fd), Segment::kInUseByte,
                                        FileHold::Mode::write, FileHold::OnFork::drop);
  if (!exclusive) return Removal::in_use;
  // Only holders of this lock unlink this file, so what is true here stays true below.
  if (!leads_to(file, fd)) return Removal::gone;
  if (unlinkat(Domain::current().directory(), file.c_str(), 0) != 0) return Removal::gone;
  return Removal::removed;
}

/// The same, of a name whose users have not removed it themselves.
Removal remove_if_stale(const std::string& file, int fd, const Stamp& stamp) {
  const Removal removal = remove_if_unused(file, fd);
  if (removal == Removal::removed) {
    internal::tell_stale_removed(std::string_view(file).substr(kObject.size()), stamp.creator_pid);
  }
  return removal;
}

/// Removes the name `file` if it leads to a while_used object that nobody uses any more.
bool is_removed_as_stale(const std::string& file) {
  const UniqueFd fd = open_file(file);
  if (!fd) return false;
  try {
    const Stamp stamp = read_stamp(fd.get(), file);
    return stamp.lifetime() == Lifetime::while_used &&
           remove_if_stale(file, fd.get(), stamp) == Removal::removed;
  } catch (const Error&) {
    return false;  // whatever it is, it is not known to be stale
  }
}

/// Frees `file` if it is a while_used object that nobody uses any more.
bool replace_if_stale(const std::string& file, const std::string& what) {
  const UniqueFd fd = open_file(file);
  if (!fd) return errno == ENOENT;
  const Stamp stamp = read_stamp(fd.get(), what);
  if (stamp.lifetime() != Lifetime::while_used) return false;
  return remove_if_stale(file, fd.get(), stamp) != Removal::in_use;
}

std::size_t total_size(std::size_t bytes, const std::string& what) {
  constexpr std::size_t kPage = 4096;
  constexpr std::size_t kMost = std::numeric_limits<off_t>::max() - kObjectOffset - kPage;
  if (bytes > kMost) {
    throw Error::from_errno(EFBIG, {.tried = "create " + what,
                                    .expected = "at most " + std::to_string(kMost) + " bytes",
                                    .found = std::to_string(bytes)});
  }
  return kObjectOffset + (bytes + kPage - 1) / kPage * kPage;
}

/// The size of the file, which must be known to stay at least that for as long as it is mapped.
void check_fixed_size(int fd, const std::string& what) {
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals >= 0 && (seals & kSeals) == kSeals) return;
  struct stat file = {};
  struct stat domain = {};
  if (fstat(fd, &file) == 0 && Domain::current().has_directory() &&
      fstat(Domain::current().directory(), &domain) == 0 && file.st_dev == domain.st_dev &&
      file.st_uid == geteuid()) {
    return;  // a file of this domain, whose users are trusted not to truncate
  }
  throw Error(Status::mismatch, {.tried = "attach to " + what,
                                 .expected = "a memfd sealed against shrinking and growing",
                                 .found = "seals " + std::to_string(seals),
                                 .hint = "send a descriptor obtained from fd()"});
}

}  // namespace

Segment Segment::create_anonymous(const SegmentKind& kind, std::size_t bytes,
                                  const SegmentOptions& options, const Format& format) {
  const std::string what = "an anonymous " + kind_text(kind);
  check_mode(options.mode, what);
  const std::size_t size = total_size(bytes, what);
  UniqueFd fd = open_anonymous(kind, what);
  give_memory(fd.get(), size, options, what);
  // Only a memfd can be sealed: a file in the domain is as safe as the named ones are.
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals >= 0 && (seals & F_SEAL_SEAL) == 0 && fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    throw Error::from_errno(errno, {.tried = "seal " + what});
  }
  SegmentOptions made = options;
  made.lifetime = Lifetime::while_used;
  Segment segment;
  segment.make(fd.get(), what, kind, size, made, format);
  segment.fd_ = std::move(fd);
  return segment;
}

void Segment::make(int fd, const std::string& what, const SegmentKind& kind, std::size_t size,
                   const SegmentOptions& options, const Format& format) {
  // Asked for explicitly, since what creating a file grants depends on the process's umask.
  if (fchmod(fd, options.mode) != 0) {
    throw Error::from_errno(errno, {.tried = "set mode " + octal(options.mode) + " of " + what});
  }
  mapped_ = naming("create " + what, [&] {
    return internal::map_segment(fd, size, internal::MappedBy::creator, options, report_);
  });
  stamp_ = make_stamp(kind, options.lifetime, size, options.mode);
  created_ = true;
  std::memcpy(mapped_.data(), &stamp_, sizeof(Stamp));
  write_type_name(mapped_, kind.type);
  format(object());
  remember(fd);
}

Segment Segment::create(std::string_view name, const SegmentKind& kind, std::size_t bytes,
                        const SegmentOptions& options, const Format& format) {
  const std::string what = quoted(kind, name);
  static_cast<void>(file_name(name));  // refused before anything is made
  check_mode(options.mode, what);
  const std::size_t size = total_size(bytes, what);
  int error = 0;
  for (const auto when : {NewFile::Naming::late, NewFile::Naming::early}) {
    NewFile file = naming("create " + what, [&] {
      return NewFile(Domain::current().directory(), unfinished_name(), when);
    });
    if (file.has_early_name()) remove_unfinished();
    if (auto segment = try_create(name, kind, size, options, format, file)) {
      return std::move(*segment);
    }
    error = file.error();
  }
  throw Error::from_errno(error, {.tried = "name " + what, .hint = "/proc must be mounted"});
}

/// Empty if the file can't be named in the way it was made for; its error() says why.
std::optional<Segment> Segment::try_create(std::string_view name, const SegmentKind& kind,
                                           std::size_t size, const SegmentOptions& options,
                                           const Format& format, NewFile& file) {
  const std::string what = quoted(kind, name);
  give_memory(file.fd(), size, options, what);
  Segment segment;
  segment.make(file.fd(), what, kind, size, options, format);
  segment.in_use_ = hold_in_use(file.fd(), "create " + what);
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    switch (file.publish(file_name(name))) {
      case NewFile::Published::yes:
        segment.name_ = std::string(name);
        return segment;
      case NewFile::Published::refused:
        return std::nullopt;
      case NewFile::Published::taken:
        break;
    }
    if (!replace_if_stale(file_name(name), what)) break;
  }
  throw Error::from_errno(EEXIST, {.tried = "create " + what,
                                   .expected = "a free name",
                                   .found = "an object in use, or one that stays until removed",
                                   .hint = "open it, choose another name, or remove it"});
}

void Segment::attach_to(int fd, const Stamp& stamp, const SegmentOptions& options) {
  stamp_ = stamp;
  mapped_ =
      internal::map_segment(fd, stamp.total_size, internal::MappedBy::opener, options, report_);
  remember(fd);
}

std::optional<Segment> Segment::try_open(std::string_view name, const SegmentKind& kind,
                                         const SegmentOptions& options) {
  const std::string file = file_name(name);
  const std::string what = quoted(kind, name);
  int error = 0;
  const UniqueFd fd = naming("open " + what, [&] {
    UniqueFd opened = open_file(file);
    error = errno;
    return opened;
  });
  if (!fd) {
    if (error == ENOENT) return std::nullopt;
    throw_not_opened(error, file, what);
  }
  check_file(fd.get(), what);
  const Stamp stamp = read_stamp(fd.get(), what);
  check_permissions(fd.get(), stamp, what);
  if (stamp.lifetime() == Lifetime::while_used &&
      remove_if_stale(file, fd.get(), stamp) == Removal::removed) {
    throw Error(Status::stale, {.tried = "open " + what,
                                .expected = "an object that somebody uses",
                                .found = "one left by pid " + std::to_string(stamp.creator_pid),
                                .hint = "it was removed now; create it again"});
  }
  check_stamp(stamp, kind, what, read_type_name(fd.get()));
  Segment segment;
  // Refused for the moment in which somebody checks whether the object is stale.
  segment.in_use_ = hold_in_use(fd.get(), "open " + what);
  if (!segment.in_use_ || !leads_to(file, fd.get())) {
    throw Error(Status::busy, {.tried = "open " + what,
                               .found = "an object that somebody is about to remove",
                               .hint = "try again, unless that process is stopped"});
  }
  naming("attach to " + what, [&] { segment.attach_to(fd.get(), stamp, options); });
  segment.name_ = std::string(name);
  return segment;
}

Segment Segment::open(std::string_view name, const SegmentKind& kind,
                      const SegmentOptions& options) {
  for (Patience patience;;) {
    try {
      if (auto segment = try_open(name, kind, options)) return std::move(*segment);
    } catch (const Error& e) {
      if (e.code() != Status::busy || !patience.wait()) throw;
      continue;
    }
    throw Error::from_errno(ENOENT,
                            {.tried = "open " + quoted(kind, name),
                             .expected = "an object of that name in " + Domain::current().path(),
                             .hint = "create it first, or use open_or_create"});
  }
}

Segment Segment::open_or_create(std::string_view name, const SegmentKind& kind, std::size_t bytes,
                                const SegmentOptions& options, const Format& format) {
  Patience patience;
  for (int attempt = 1;; ++attempt) {
    try {
      if (auto segment = try_open(name, kind, options)) return std::move(*segment);
    } catch (const Error& e) {
      const bool gone_now = e.code() == Status::stale && attempt < kMostAttempts;
      if (!gone_now && (e.code() != Status::busy || !patience.wait())) throw;
      continue;
    }
    try {
      return create(name, kind, bytes, options, format);
    } catch (const Error& e) {
      // Somebody else was faster: theirs is opened.
      if (e.code() != std::errc::file_exists || attempt == kMostAttempts) throw;
    }
  }
}

Segment Segment::from_fd(UniqueFd fd, const SegmentKind& kind, const SegmentOptions& options) {
  const std::string what = "the " + kind_text(kind) + " of descriptor " + std::to_string(fd.get());
  if (!fd) throw Error::from_errno(EBADF, {.tried = "attach to " + what});
  check_fixed_size(fd.get(), what);
  const Stamp stamp = read_stamp(fd.get(), what);
  check_stamp(stamp, kind, what, read_type_name(fd.get()));
  Segment segment;
  segment.in_use_ = hold_in_use(fd.get(), "attach to " + what);
  naming("attach to " + what, [&] { segment.attach_to(fd.get(), stamp, options); });
  segment.fd_ = std::move(fd);
  return segment;
}

bool Segment::remove(std::string_view name) {
  const std::string file = file_name(name);
  if (unlinkat(Domain::current().directory(), file.c_str(), 0) == 0) return true;
  if (errno == ENOENT) return false;
  throw Error::from_errno(errno, {.tried = "remove \"" + std::string(name) + "\""});
}

Segment& Segment::operator=(Segment&& other) noexcept {
  if (this == &other) return *this;
  leave();
  mapped_ = std::exchange(other.mapped_, {});
  stamp_ = other.stamp_;
  report_ = std::move(other.report_);
  name_ = std::exchange(other.name_, {});
  fd_ = std::move(other.fd_);
  in_use_ = std::move(other.in_use_);
  other.in_use_.reset();
  device_ = other.device_;
  inode_ = other.inode_;
  created_ = other.created_;
  return *this;
}

UniqueFd Segment::fd() const {
  UniqueFd copy(fd_ ? fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0) : -1);
  if (!fd_) copy = open_file(file_name(name_));
  if (!copy || !is_ours(copy.get())) {
    throw Error::from_errno(
        EBADF, {.tried = "get a descriptor of " + stamp_.kind_name() + " \"" + name_ + "\"",
                .hint = "the name was removed, or the host closed ours"});
  }
  return copy;
}

bool Segment::is_byte_held(off_t byte) const noexcept {
  try {
    if (FileHold::is_held(fd_.get(), byte)) return true;
  } catch (const Error&) {
    return true;
  }
  // Nobody holds it, if this is still our file and not one that reuses the number.
  return !is_ours(fd_.get());
}

bool Segment::is_ours(int fd) const noexcept {
  struct stat s = {};
  return fstat(fd, &s) == 0 && s.st_ino == inode_ && s.st_dev == device_;
}

void Segment::remember(int fd) {
  struct stat s = {};
  if (fstat(fd, &s) != 0) throw Error::from_errno(errno, {.tried = "examine a segment"});
  device_ = s.st_dev;
  inode_ = s.st_ino;
}

void Segment::leave() noexcept {
  if (mapped_.empty()) return;
  munmap(mapped_.data(), mapped_.size());
  mapped_ = {};
  in_use_.reset();
  // If the host has closed our descriptor, its number may be somebody else's: not ours to close.
  if (fd_ && !is_ours(fd_.get())) static_cast<void>(fd_.release());
  fd_.reset();
  if (name_.empty() || stamp_.lifetime() != Lifetime::while_used) return;
  try {
    const std::string file = file_name(name_);
    const UniqueFd fd = open_file(file);
    if (fd && is_ours(fd.get())) {
      remove_if_unused(file, fd.get());
    }
  } catch (const std::exception&) {
    return;  // the name stays, and is stale: whoever next creates or opens it removes it
  }
}

std::vector<std::string> remove_stale() {
  std::vector<std::string> removed;
  for (const std::string& file : files_in_domain()) {
    if (file.starts_with(kObject) && is_removed_as_stale(file)) {
      removed.push_back(file.substr(kObject.size()));
    }
  }
  remove_unfinished();
  return removed;
}

}  // namespace sluice
