// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/participant.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <mutex>
#include <ostream>
#include <span>
#include <string>
#include <utility>

#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/no_cancel.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice {

std::ostream& operator<<(std::ostream& out, Liveness liveness) {
  switch (liveness) {
    case Liveness::alive:
      return out << "alive";
    case Liveness::dead:
      return out << "dead";
    case Liveness::unknown:
      break;
  }
  return out << "unknown";
}

namespace participant {
namespace {

using internal::FileHold;
using internal::g_process_state;

/// Serialises attaching, and keeps a fork from happening in the middle of it: a child that
/// inherited a liveness description would keep its parent alive for ever.
constinit std::mutex g_attach_mutex;

/// Descriptors to probe with, one per liveness file. They hold no lock, and are opened when the
/// process attaches: later there may be a seccomp filter, or the files may have been removed.
/// Stored plus one, so that zero is "not open". A number is checked to be the right file before
/// anyone is declared dead.
constinit std::array<std::atomic<int>, Domain::kLiveFiles> g_probe_fds = {};

int live_file_of(const Domain& domain, Tag tag) {
  return static_cast<int>(tag % static_cast<Tag>(domain.live_files()));
}
off_t live_byte_of(Tag tag) { return internal::kLiveBase + static_cast<off_t>(tag); }

// When the library is loaded, as a fork in the middle of a later registration would go without.
[[maybe_unused]] const bool kMutexIsHeldAcrossFork =
    pthread_atfork([] { g_attach_mutex.lock(); }, [] { g_attach_mutex.unlock(); },
                   [] { g_attach_mutex.unlock(); }) == 0;

/// The registry's counter, mapped while a tag is taken and no longer, so that nothing else that
/// this process writes can hit it.
class Counter {
 public:
  explicit Counter(int registry) {
    struct stat s = {};
    constexpr off_t kNeeded = internal::kCounterOffset + off_t{sizeof(Tag)};
    // Asked first: in a page behind the end of a file that was cut short, an access kills.
    if (fstat(registry, &s) != 0 || s.st_size < kNeeded) {
      throw Error(Status::corrupt, {.tried = "take a tag",
                                    .expected = "a registry with a counter",
                                    .found = std::to_string(s.st_size) + " bytes"});
    }
    address_ = mmap(nullptr, kMapped, PROT_READ | PROT_WRITE, MAP_SHARED, registry, 0);
    if (address_ == MAP_FAILED) throw Error::from_errno(errno, {.tried = "map the registry"});
  }
  ~Counter() { munmap(address_, kMapped); }
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  /// A number that nobody else has been given; kNobody if there is none. One atomic step: who is
  /// stopped or killed before it has taken nothing, after it has used one number up, and in neither
  /// case keeps others from theirs.
  Tag take() noexcept {
    const std::atomic_ref<Tag> next(word().raw);
    Tag tag = next.load(std::memory_order_relaxed);  // relaxed: the swap decides
    for (int attempt = 0; attempt < kMostAttempts && !internal::is_used_up(tag); ++attempt) {
      // Relaxed: that no two get one number needs no order with other memory.
      if (next.compare_exchange_weak(tag, tag + 1, std::memory_order_relaxed)) return tag;
    }
    return kNobody;
  }

 private:
  static constexpr std::size_t kMapped = 4096;
  /// Each lost attempt is another process that got a number.
  static constexpr int kMostAttempts = 1000000;

  [[nodiscard]] internal::Word<Tag>& word() noexcept {
    const std::span page(static_cast<std::byte*>(address_), kMapped);
    return *internal::attach_object<internal::Word<Tag>>(page.subspan(internal::kCounterOffset));
  }

  void* address_;
};

/// As in the file; `name` is not terminated if it fills its field.
struct RecordBytes {
  std::uint32_t tag;
  std::int32_t pid;
  std::array<char, 16> name;
  std::uint32_t left_tag;  // `tag` once it has left: a late note on a record that is another's by
                           // now says nothing of that one
  std::array<std::byte, 36> unused;
};
static_assert(sizeof(RecordBytes) == 64);

off_t record_offset(Tag tag) {
  return internal::kRecordsOffset +
         static_cast<off_t>(tag % internal::kRecords) * static_cast<off_t>(sizeof(RecordBytes));
}

bool read_record(int registry, Tag tag, RecordBytes& record) {
  return tag != kNobody &&
         internal::read_at(registry, &record, sizeof record, record_offset(tag)) &&
         record.tag == tag;
}

bool write_record(int registry, Tag tag) {
  RecordBytes record = {};
  record.tag = tag;
  record.pid = getpid();
  std::ifstream("/proc/self/comm").getline(record.name.data(), record.name.size());
  return internal::write_at(registry, &record, sizeof record, record_offset(tag));
}

[[noreturn]] void throw_exhausted(const Domain& domain) {
  throw Error::from_errno(EOVERFLOW,
                          {.tried = "attach to the domain " + domain.path(),
                           .expected = "a tag that was never given out",
                           .found = "all 4294967295 given out",
                           .hint = "restart the processes: once all are gone, there is a new one"});
}

/// A number that the counter gave may be somebody's already if the counter was overwritten; such
/// numbers are passed over.
constexpr int kMostPassedOver = 1024;

Tag take_tag(Domain& domain) {
  const UniqueFd registry = domain.open_registry();
  Counter counter(registry.get());
  Tag tag = kNobody;
  for (int passed_over = 0; passed_over < kMostPassedOver; ++passed_over) {
    tag = counter.take();
    if (tag == kNobody) throw_exhausted(domain);
    auto hold = FileHold::take(domain.open_live_file(live_file_of(domain, tag)), live_byte_of(tag),
                               FileHold::Mode::write, FileHold::OnFork::drop);
    if (!hold) continue;
    // For people and for has_left(): if there is no room for it, a death is told instead of an end.
    static_cast<void>(write_record(registry.get(), tag));
    hold->keep_for_ever();
    return tag;
  }
  throw Error(Status::corrupt, {.tried = "take a tag in " + domain.path(),
                                .expected = "a counter above the numbers in use",
                                .found = std::to_string(tag) + " in use",
                                .hint = "the registry was overwritten: remove the directory"});
}

/// The probing descriptor for `index`, opened if need be; -1 if it can't be.
int probe_fd(int index) noexcept {
  auto& slot = g_probe_fds[static_cast<std::size_t>(index)];
  // Relaxed: a descriptor is a number; what it refers to is the kernel's business.
  int stored = slot.load(std::memory_order_relaxed);
  if (stored > 0) return stored - 1;
  const internal::NoCancel scope;
  try {
    UniqueFd opened = Domain::current().open_live_file(index);
    // Relaxed, as above. If another thread was faster, its descriptor is used and ours closed.
    if (slot.compare_exchange_strong(stored, opened.get() + 1, std::memory_order_relaxed)) {
      return opened.release();
    }
    return stored - 1;
  } catch (const std::exception&) {
    return -1;
  }
}

/// Forgets a number that the host has closed, and perhaps reused: closing it is not ours to do.
void forget_probe_fd(int index, int fd) noexcept {
  int stored = fd + 1;
  // Relaxed: as in probe_fd().
  g_probe_fds[static_cast<std::size_t>(index)].compare_exchange_strong(stored, 0,
                                                                       std::memory_order_relaxed);
}

/// The liveness file of `tag` in this process's domain; -1 if there is no domain.
int live_file_of_current(Tag tag) noexcept {
  try {
    return live_file_of(Domain::current(), tag);
  } catch (const std::exception&) {
    return -1;
  }
}

/// A failure is no harm yet: probing tries again.
void open_probe_fds(const Domain& domain) noexcept {
  for (int index = 0; index < domain.live_files(); ++index) static_cast<void>(probe_fd(index));
}

bool is_held(int fd, off_t byte) noexcept {
  try {
    return FileHold::is_held(fd, byte);
  } catch (const std::exception&) {
    return false;  // not an answer: is_live_file() will say that this is not the file
  }
}

/// The part of the incarnation that is kept in words, where 0 means "none yet".
std::uint32_t word_incarnation(const Domain& domain) {
  const auto low = static_cast<std::uint32_t>(domain.incarnation());
  return low != 0 ? low : 1;
}

/// Makes this process the participant `tag`.
void publish(const Domain& domain, Tag tag) {
  const std::uint32_t home = domain.in_home_pid_namespace() ? 1 : 0;
  // Relaxed, both: the tag's store below publishes them.
  g_process_state.incarnation.store(word_incarnation(domain), std::memory_order_relaxed);
  g_process_state.home_pid_namespace.store(home, std::memory_order_relaxed);  // as above
  // Release: who sees the tag sees the fields above.
  g_process_state.tag.store(tag, std::memory_order_release);
}

/// Takes a tag for this process unless another thread just has.
Tag join_domain() {
  const internal::NoCancel scope;
  const std::lock_guard lock(g_attach_mutex);
  // Relaxed: written under the mutex that this thread holds.
  if (const Tag tag = g_process_state.tag.load(std::memory_order_relaxed); tag != kNobody) {
    return tag;
  }
  internal::wipe_process_state_on_fork();
  static const bool leaves_at_exit = std::atexit(leave) == 0;
  static_cast<void>(leaves_at_exit);
  Domain& domain = Domain::current();
  const Tag tag = take_tag(domain);
  open_probe_fds(domain);
  internal::register_barriers();
  publish(domain, tag);
  return tag;
}

}  // namespace

Liveness probe(Tag tag) noexcept {
  if (tag == kNobody) return Liveness::dead;
  // Relaxed: two numbers are compared, and nothing else is read.
  if (tag == g_process_state.tag.load(std::memory_order_relaxed)) return Liveness::alive;
  const int index = live_file_of_current(tag);
  if (index < 0) return Liveness::unknown;
  // Twice: the second time with a descriptor opened anew if the first was not ours any more.
  for (int attempt = 0; attempt < 2; ++attempt) {
    const int fd = probe_fd(index);
    if (fd < 0) return Liveness::unknown;
    if (is_held(fd, live_byte_of(tag))) return Liveness::alive;
    if (Domain::current().is_live_file(fd, index)) return Liveness::dead;
    forget_probe_fd(index, fd);
  }
  return Liveness::unknown;
}

Liveness probe(Domain& domain, Tag tag) noexcept {
  if (tag == kNobody) return Liveness::dead;
  try {
    const UniqueFd fd = domain.open_live_file(live_file_of(domain, tag));
    return FileHold::is_held(fd.get(), live_byte_of(tag)) ? Liveness::alive : Liveness::dead;
  } catch (const std::exception&) {
    return Liveness::unknown;
  }
}

void leave() noexcept {
  const Tag tag = self_if_attached();
  if (tag == kNobody) return;
  const internal::NoCancel scope;
  try {
    const UniqueFd registry = Domain::current().open_registry();
    // A failure leaves the peers with a death instead of an end, which is not wrong either.
    static_cast<void>(
        internal::write_at(registry.get(), &tag, sizeof tag,
                           record_offset(tag) + off_t{offsetof(RecordBytes, left_tag)}));
  } catch (const Error&) {
    return;  // the registry is gone: as above
  }
}

bool has_left(Tag tag) noexcept {
  const internal::NoCancel scope;
  try {
    const auto record = describe(Domain::current(), tag);
    return record && record->left;
  } catch (const Error&) {
    return false;
  }
}

std::optional<Record> describe(Domain& domain, Tag tag) {
  const UniqueFd registry = domain.open_registry();
  RecordBytes bytes = {};
  if (!read_record(registry.get(), tag, bytes)) return std::nullopt;
  return Record{tag, bytes.pid,
                std::string(bytes.name.data(), strnlen(bytes.name.data(), bytes.name.size())),
                bytes.left_tag == tag};
}

pid_t noted_pid(Tag tag) noexcept {
  const internal::NoCancel scope;
  try {
    const UniqueFd registry = Domain::current().open_registry();
    RecordBytes bytes = {};
    return read_record(registry.get(), tag, bytes) ? bytes.pid : 0;
  } catch (const std::exception&) {  // the registry is gone
    return 0;
  }
}

UniqueFd open_pidfd(Tag tag) noexcept {
  try {
    const auto record = describe(Domain::current(), tag);
    if (!record || record->pid <= 0) return UniqueFd();
    UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, record->pid, 0)));
    // Alive after the descriptor was opened: the number was not another process's by then.
    return probe(tag) == Liveness::alive ? std::move(fd) : UniqueFd();
  } catch (const std::exception&) {  // the records can't be read
    return UniqueFd();
  }
}

std::string to_text(Tag tag) {
  if (tag == kNobody) return "somebody who is not known any more";
  const internal::NoCancel scope;
  std::string text = "participant " + std::to_string(tag);
  try {
    if (const auto record = describe(Domain::current(), tag)) {
      text += " (pid " + std::to_string(record->pid) + ", " + record->name + ")";
    }
  } catch (const Error&) {
    return text;  // the registry can't be read: the number alone
  }
  return text;
}

}  // namespace participant

Tag internal::attach_slowly() { return participant::join_domain(); }

}  // namespace sluice
