// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/mapped_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <limits>
#include <memory>
#include <sstream>
#include <string_view>
#include <vector>

#include "sluice/ipc/allocate.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/new_file.h"
#include "sluice/sync/observer.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"

namespace sluice {
namespace {

using internal::FileHold;
using internal::NewFile;
using RegistryWord = internal::Word<std::uint64_t>;

/// How often a path may change hands under our eyes before that is called an error.
constexpr int kMostAttempts = 1000;
constexpr std::string_view kUnfinished = ".new-";
constexpr const char* kMoreDescriptors = "close some descriptors, or raise the limit (ulimit -n)";

std::string quoted(const SegmentKind& kind, const std::string& path) {
  std::string text(kind.name);
  if (!kind.type.empty()) text.append(" ").append(kind.type);
  return text + " in file \"" + path + "\"";
}

std::string mode_text(const struct stat& s) {
  std::ostringstream out;
  out << "owner " << s.st_uid << ", mode 0" << std::oct << (s.st_mode & 07777);
  return out.str();
}

/// The directory, and the name in it.
struct Place {
  std::string directory, leaf;
};
Place place_of(const std::string& path, const std::string& what) {
  const std::size_t slash = path.rfind('/');
  Place place = slash == std::string::npos
                    ? Place{".", path}
                    : Place{path.substr(0, slash == 0 ? 1 : slash), path.substr(slash + 1)};
  const bool is_name = !place.leaf.empty() && place.leaf != "." && place.leaf != ".." &&
                       path.find('\0') == std::string::npos;
  if (is_name) return place;
  throw Error::from_errno(
      EINVAL, {.tried = "use " + what, .expected = "a path that ends in a file's name"});
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

bool is_want_of_descriptors(int error) { return error == EMFILE || error == ENFILE; }

/// Runs `call`, whose errors do not know which file it is for, and names that in them.
template <class Call>
auto naming(const std::string& tried, Call call) {
  try {
    return call();
  } catch (const Error& e) {
    ErrorText text = e.text();
    text.tried = tried + ": " + text.tried;
    if (is_want_of_descriptors(e.code().value())) text.hint = kMoreDescriptors;
    throw Error(e.code(), std::move(text));
  }
}

/// A descriptor of its own of the file behind `fd`.
UniqueFd open_anew(int fd, const std::string& what) {
  return naming("attach to " + what, [&] { return internal::open_anew(fd); });
}

/// Gives the file its blocks, so that no later access fails for want of them.
void allocate(int fd, std::size_t size, const std::string& what) {
  struct statfs system = {};
  if (fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC) {
    internal::allocate_file(fd, size, what);
    return;
  }
  // Asked first, since exceeding it kills by SIGXFSZ.
  struct rlimit limit = {};
  int error = 0;
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size) error = EFBIG;
  constexpr std::size_t kPiece = std::size_t{64} << 20;
  for (std::size_t done = 0; error == 0 && done < size;) {
    const std::size_t length = std::min(kPiece, size - done);
    error = posix_fallocate(fd, static_cast<off_t>(done), static_cast<off_t>(length));
    if (error == EINTR) {
      error = 0;
    } else {
      done += length;
    }
  }
  if (error == 0) return;
  throw Error::from_errno(error, {.tried = "create " + what,
                                  .expected = std::to_string(size) + " bytes of room",
                                  .hint = error == EFBIG ? "raise the limit (ulimit -f)"
                                                         : "free some, or use another device"});
}

[[noreturn]] void throw_not_opened(int error, const std::string& path, const std::string& what) {
  ErrorText text = {.tried = "open " + what,
                    .expected = "a file that this process may read and write, not a link"};
  struct stat s = {};
  if (is_want_of_descriptors(error)) {
    text.expected = "a free descriptor";
    text.hint = kMoreDescriptors;
  } else if (lstat(path.c_str(), &s) == 0) {
    text.found = S_ISLNK(s.st_mode) ? "a link" : mode_text(s);
    text.hint = S_ISLNK(s.st_mode) ? "use the path that it leads to" : "chmod or chown it";
  }
  if (error == EROFS) text.hint = "mount the file system for writing, or use a copy elsewhere";
  throw Error::from_errno(error, std::move(text));
}

void check_file(int fd, const std::string& what) {
  struct stat s = {};
  if (fstat(fd, &s) != 0) throw Error::from_errno(errno, {.tried = "examine " + what});
  if (!S_ISREG(s.st_mode) || s.st_uid != geteuid()) {
    throw Error::from_errno(EPERM, {.tried = "attach to " + what,
                                    .expected = "a regular file of this user",
                                    .found = mode_text(s),
                                    .hint = "chown it, or use another path"});
  }
  if ((s.st_mode & 0600) != 0600) {  // for root, whom nothing stops
    throw Error::from_errno(EACCES,
                            {.tried = "open " + what,
                             .expected = "a file that this process may read and write, not a link",
                             .found = mode_text(s),
                             .hint = "chmod or chown it"});
  }
}

void check_permissions(int fd, const Stamp& stamp, const std::string& what) {
  struct stat s = {};
  if (fstat(fd, &s) != 0) throw Error::from_errno(errno, {.tried = "examine " + what});
  if ((s.st_mode & 022 & ~stamp.others_mode()) == 0) return;
  throw Error::from_errno(EPERM, {.tried = "attach to " + what,
                                  .expected = "a file into which only those may write whom its "
                                              "creator named",
                                  .found = mode_text(s),
                                  .hint = "chmod go-w it, and see who has written to it"});
}

/// The lock that who attaches holds for a moment. Waits for others that do, unless one is stopped.
FileHold take_turn(int fd, const std::string& what) {
  constexpr timespec kMoment = {.tv_sec = 0, .tv_nsec = 500'000};
  const Deadline end = std::chrono::milliseconds(250);
  for (int attempt = 0;; ++attempt) {
    auto turn = FileHold::take(open_anew(fd, what), MappedFile::kTurnByte, FileHold::Mode::write,
                               FileHold::OnFork::drop);
    if (turn) return std::move(*turn);
    if (attempt < 64) {
      sched_yield();
      continue;
    }
    if (end.passed()) break;
    nanosleep(&kMoment, nullptr);
  }
  throw Error(Status::busy, {.tried = "attach to " + what,
                             .found = "a process that has been attaching for a long time",
                             .hint = "try again, unless that process is stopped"});
}

void sync(int fd, const std::string& what) {
  if (fsync(fd) == 0) return;
  throw Error::from_errno(errno, {.tried = "write " + what + " to the device"});
}

UniqueFd open_directory(const Place& place, const std::string& what) {
  UniqueFd directory(open(place.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) return directory;
  const int error = errno;
  throw Error::from_errno(
      error, {.tried = "create " + what,
              .expected = "the directory " + place.directory,
              .hint = is_want_of_descriptors(error) ? kMoreDescriptors : "create it first"});
}

/// Removes what creators of this file left that were killed, and so use it no more.
void remove_unfinished(int directory, const std::string& leaf) {
  UniqueFd anew(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(anew.get()), closedir);
  if (!entries) return;
  static_cast<void>(anew.release());
  const std::string prefix = leaf + std::string(kUnfinished);
  std::vector<std::string> found;
  while (const dirent* const entry = readdir(entries.get())) {
    if (std::string_view(entry->d_name).starts_with(prefix)) found.emplace_back(entry->d_name);
  }
  for (const std::string& file : found) {
    const UniqueFd fd(
        openat(directory, file.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (fd && !FileHold::is_held(fd.get(), MappedFile::kInUseByte)) {
      if (unlinkat(directory, file.c_str(), 0) == 0) internal::tell_stale_removed(file, 0);
    }
  }
}

std::string unfinished_name(const std::string& leaf) {
  static std::atomic<unsigned> last = 0;
  // Relaxed: only that no two get one number matters.
  const unsigned number = last.fetch_add(1, std::memory_order_relaxed);
  return leaf + std::string(kUnfinished) + std::to_string(getpid()) + "-" + std::to_string(number);
}

}  // namespace

void MappedFile::make(int fd, const SegmentKind& kind, const SegmentOptions& options,
                      const Format& format, std::size_t size) {
  const std::string what = "the file";
  // In use from here on: nobody takes the file for one that a dead creator left.
  in_use_ = FileHold::take(internal::open_anew(fd), kInUseByte, FileHold::Mode::read,
                           FileHold::OnFork::keep);
  if (fchmod(fd, options.mode) != 0) {
    throw Error::from_errno(errno, {.tried = "set the mode of " + what});
  }
  allocate(fd, size, what);
  mapped_ = internal::map_segment(fd, size, internal::MappedBy::creator, options, report_);
  stamp_ = make_stamp(kind, Lifetime::until_removed, size, options.mode);
  created_ = true;
  std::memcpy(mapped_.data(), &stamp_, sizeof(Stamp));
  write_type_name(mapped_, kind.type);
  const std::uint64_t registry = Domain::current().incarnation();
  std::memcpy(mapped_.subspan(kRegistryOffset).data(), &registry, sizeof registry);
  format(object());
  sync(fd, what);
}

/// Empty if the path is taken.
std::optional<MappedFile> MappedFile::try_create(const std::string& path, const SegmentKind& kind,
                                                 std::size_t size, const SegmentOptions& options,
                                                 const Format& format) {
  const std::string what = quoted(kind, path);
  const Place place = place_of(path, what);
  const UniqueFd directory = open_directory(place, what);
  int error = 0;
  for (const auto when : {NewFile::Naming::late, NewFile::Naming::early}) {
    MappedFile made;
    made.path_ = path;
    NewFile file = naming("create " + what, [&] {
      return NewFile(directory.get(), unfinished_name(place.leaf), when);
    });
    naming("create " + what, [&] { made.make(file.fd(), kind, options, format, size); });
    if (file.has_early_name()) remove_unfinished(directory.get(), place.leaf);
    switch (file.publish(place.leaf)) {
      case NewFile::Published::yes:
        sync(directory.get(), "the directory of " + what);
        return made;
      case NewFile::Published::taken:
        return std::nullopt;
      case NewFile::Published::refused:
        error = file.error();
        break;
    }
  }
  throw Error::from_errno(error, {.tried = "name " + what, .hint = "/proc must be mounted"});
}

void MappedFile::take_over(int fd, const std::string& what, const Adopt& adopt) {
  const FileHold turn = take_turn(fd, what);
  RegistryWord& word = *internal::attach_object<RegistryWord>(
      mapped_.subspan(kRegistryOffset, sizeof(RegistryWord)));
  const std::uint64_t mine = Domain::current().incarnation();
  // Relaxed: written only by who has the turn, and taking it is a system call on both sides.
  if (internal::RealEnv::load(word, std::memory_order_relaxed) != mine) {
    if (FileHold::is_held(fd, kInUseByte)) {
      throw Error(Status::foreign_registry,
                  {.tried = "attach to " + what,
                   .expected = "a file that only processes of " + Domain::current().path() + " use",
                   .found = "one in use by processes of another registry",
                   .hint = "end those, or use one domain for all (SLUICE_DOMAIN)"});
    }
    adopt(object());
    // Release: whoever finds this number finds the owners dead, also after a kill right here.
    internal::RealEnv::store(word, mine, std::memory_order_release);
  }
  in_use_ =
      FileHold::take(open_anew(fd, what), kInUseByte, FileHold::Mode::read, FileHold::OnFork::keep);
}

std::optional<MappedFile> MappedFile::try_open(const std::string& path, const SegmentKind& kind,
                                               const SegmentOptions& options, const Adopt& adopt) {
  const std::string what = quoted(kind, path);
  static_cast<void>(place_of(path, what));
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) throw_not_opened(errno, path, what);
  check_file(fd.get(), what);
  const Stamp stamp = read_stamp(fd.get(), what);
  check_kind(stamp, kind, what, read_type_name(fd.get()));
  check_permissions(fd.get(), stamp, what);
  MappedFile opened;
  opened.path_ = path;
  opened.stamp_ = stamp;
  opened.mapped_ = internal::map_segment(fd.get(), stamp.total_size, internal::MappedBy::opener,
                                         options, opened.report_);
  opened.take_over(fd.get(), what, adopt);
  return opened;
}

MappedFile MappedFile::open(const std::string& path, const SegmentKind& kind,
                            const SegmentOptions& options, const Adopt& adopt) {
  if (auto file = try_open(path, kind, options, adopt)) return std::move(*file);
  throw Error::from_errno(ENOENT, {.tried = "open " + quoted(kind, path),
                                   .expected = "a file of that path",
                                   .hint = "create it first, or use map_file"});
}

MappedFile MappedFile::open_or_create(const std::string& path, const SegmentKind& kind,
                                      std::size_t bytes, const SegmentOptions& options,
                                      const Format& format, const Adopt& adopt) {
  const std::size_t size = total_size(bytes, quoted(kind, path));
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    if (auto file = try_open(path, kind, options, adopt)) return std::move(*file);
    if (auto file = try_create(path, kind, size, options, format)) return std::move(*file);
  }
  throw Error(Status::busy, {.tried = "open or create " + quoted(kind, path),
                             .found = "a file that comes and goes"});
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this == &other) return *this;
  leave();
  mapped_ = std::exchange(other.mapped_, {});
  stamp_ = other.stamp_;
  report_ = std::move(other.report_);
  path_ = std::exchange(other.path_, {});
  in_use_ = std::move(other.in_use_);
  other.in_use_.reset();
  created_ = other.created_;
  return *this;
}

void MappedFile::flush() const {
  if (mapped_.empty() || msync(mapped_.data(), mapped_.size(), MS_SYNC) == 0) return;
  throw Error::from_errno(errno, {.tried = "write \"" + path_ + "\" to the device"});
}

void MappedFile::leave() noexcept {
  if (mapped_.empty()) return;
  munmap(mapped_.data(), mapped_.size());
  mapped_ = {};
  in_use_.reset();
}

}  // namespace sluice
