// SPDX-License-Identifier: Apache-2.0
//
// BoostSegment: containers and strings of Boost.Interprocess in memory that several processes see,
// under a lock that survives its holder: what changes its size and has pointers in it. Not for one
// value (ipc/value.h) or a struct (ipc/shared.h), which need no library and lose less when somebody
// is killed; and not between programs that distrust each other, for Boost believes its own bytes.
//
//   using Numbers = boost::interprocess::vector<int, BoostAllocator<int>>;
//
//   auto segment = BoostSegment::open_or_create("numbers", 1 << 20);       // in any process
//   segment.with_lock([](BoostSegment::Access& access) {
//     auto& all = access.find_or_construct<Numbers>("all", access.allocator<int>());
//     all.push_back(42);
//   });
//
// In memory: behind the stamp of ipc/segment.h (kind "boost", version 1): a line of 64 bytes with
// the lock (ipc/boost_layout.h), then Boost's managed memory (its segment manager, then blocks), a
// format of Boost's that holds offsets only, so that each process may map it elsewhere. It has no
// lock of Boost's in it. Processes must have the same version of Boost: the fingerprint has it.
//
// Units: bytes, Boost's own bookkeeping included. Errors: making and finding one throw Error as
// ipc/segment.h says. lock() and with_lock() throw OwnerDied, or Error with foreign_registry,
// corrupt or closed; each names the object. Where there is no room left, with_lock() and
// find_or_construct() throw Error with std::errc::not_enough_memory; a container used through an
// Access of one's own throws boost::interprocess::bad_alloc; and one that is asked for more than
// all of the memory throws its std::length_error. The container is then as it was (as its library
// says). Locking again in the thread that holds it throws std::logic_error.
//
// Threads and processes: all calls may overlap. What is in the memory may be touched only while the
// lock is held, for reading, too. References into it end with the Access.
//
// If a process dies here: while it does not hold the lock, nothing. While it does, the containers
// and the heap may be half changed, whatever it was doing: from then on everybody is refused with
// OwnerDied, until somebody locks with a repair. A repair can rely on what it has put there itself
// (a journal, a count); the one that is always possible is Access::clear(), after which the memory
// is empty. If the repair throws, or is killed, the mark stays. Making one: as ipc/segment.h.
//
// Cost: a Mutex's lock and unlock, and Boost's own; no system call uncontended.

#ifndef SLUICE_IPC_BOOST_INTERPROCESS_H_
#define SLUICE_IPC_BOOST_INTERPROCESS_H_

#include <atomic>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/creation_tags.hpp>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>
#include <boost/interprocess/mem_algo/rbtree_best_fit.hpp>
#include <boost/interprocess/sync/mutex_family.hpp>
#include <boost/version.hpp>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "sluice/ipc/boost_layout.h"
#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"

namespace sluice {

/// Boost's managed memory over bytes of ours, without locks of its own.
using BoostMemory = boost::interprocess::basic_managed_external_buffer<
    char, boost::interprocess::rbtree_best_fit<boost::interprocess::null_mutex_family>,
    boost::interprocess::iset_index>;

/// For the containers in it.
template <class T>
using BoostAllocator = boost::interprocess::allocator<T, BoostMemory::segment_manager>;

/// Boost's managed memory in a segment, under a robust lock: a handle, and the mapping that it
/// keeps.
class BoostSegment {
  struct State;

 public:
  /// Of the bytes in memory; what was made with another is refused with Status::mismatch.
  static constexpr std::uint32_t kVersion = internal::kBoostVersion;

  class Access;

  /// Without a name: for the threads of this process, for children forked later, and for whoever is
  /// sent fd().
  explicit BoostSegment(std::size_t bytes, const SegmentOptions& options = {})
      : BoostSegment(Segment::create_anonymous(kind(), checked(bytes), options, format)) {}

  /// Under a name that must be free: std::errc::file_exists.
  static BoostSegment create(std::string_view name, std::size_t bytes,
                             const SegmentOptions& options = {}) {
    return BoostSegment(Segment::create(name, kind(), checked(bytes), options, format));
  }

  /// What is there: std::errc::no_such_file_or_directory, Status::stale, mismatch, ...
  static BoostSegment open(std::string_view name, const SegmentOptions& options = {}) {
    return BoostSegment(Segment::open(name, kind(), options));
  }

  /// Opens it if it is there, otherwise makes it; race-free. created() tells which.
  static BoostSegment open_or_create(std::string_view name, std::size_t bytes,
                                     const SegmentOptions& options = {}) {
    return BoostSegment(Segment::open_or_create(name, kind(), checked(bytes), options, format));
  }

  /// From a descriptor that another process obtained with fd() and sent.
  static BoostSegment from_fd(UniqueFd fd, const SegmentOptions& options = {}) {
    return BoostSegment(Segment::from_fd(std::move(fd), kind(), options));
  }

  /// Removes the name, whoever uses the object; they go on. False if there is none.
  static bool remove(std::string_view name) { return Segment::remove(name); }

  /// Waits for as long as it takes. Throws OwnerDied, Error, std::logic_error.
  [[nodiscard]] Access lock();

  /// Nothing if the time has passed. Throws as lock().
  [[nodiscard]] std::optional<Access> try_lock(Deadline deadline = Deadline::now());

  /// As lock(), but if an owner died, calls repair(access) with the lock held and marks the memory
  /// consistent. If that throws, the mark stays.
  template <std::invocable<Access&> Repair>
  [[nodiscard]] Access lock(Repair repair);

  /// Returns fn(access), called with the lock held. Throws as lock(), and what `fn` throws; a lack
  /// of memory is an Error. What fn had changed before it threw stays changed.
  template <std::invocable<Access&> Fn>
  decltype(auto) with_lock(Fn fn);
  /// The same, but if an owner died, calls repair(access) first, as lock(repair) does.
  template <std::invocable<Access&> Fn, std::invocable<Access&> Repair>
  decltype(auto) with_lock(Fn fn, Repair repair);

  /// Whether this call made the object.
  [[nodiscard]] bool created() const noexcept { return state_->segment.created(); }
  /// Empty if it has none.
  [[nodiscard]] const std::string& name() const noexcept { return state_->segment.name(); }
  /// A new descriptor, for another process's from_fd(). Throws Error.
  [[nodiscard]] UniqueFd fd() const { return state_->segment.fd(); }
  /// The memory that it lies in, with its stamp() and report().
  [[nodiscard]] const Segment& segment() const noexcept { return state_->segment; }
  /// Of the memory, Boost's bookkeeping included.
  [[nodiscard]] std::size_t size() const noexcept { return managed(state_->segment).size(); }

  /// For people, one line.
  friend std::ostream& operator<<(std::ostream& out, const BoostSegment& segment) {
    if (segment.state_ == nullptr) return out << "boost segment, moved from";
    return out << segment.state_->text() << ", " << segment.size() << " bytes, "
               << segment.state_->control->mutex;
  }

 private:
  using Control = internal::BoostControl;

  /// Where it lies does not change when the handle is moved.
  struct State {
    Segment segment;
    Control* control;
    BoostMemory memory;

    [[nodiscard]] std::string text() const {
      return "boost segment" + (segment.name().empty() ? "" : " \"" + segment.name() + '"');
    }
  };

  static SegmentKind kind() {
    static const std::string type = "boost.interprocess " + std::to_string(BOOST_VERSION / 100000) +
                                    '.' + std::to_string(BOOST_VERSION / 100 % 1000);
    return {
        .name = internal::kBoostKind,
        .version = kVersion,
        .fingerprint = Fnv1a().add(type).add_number(sizeof(BoostMemory::segment_manager)).value(),
        .type = type};
  }

  static std::span<std::byte> managed(const Segment& segment) noexcept {
    return segment.object().subspan(sizeof(Control));
  }

  /// What to ask of the segment for `bytes` of managed memory.
  static std::size_t checked(std::size_t bytes) {
    const std::size_t least = BoostMemory::segment_manager::get_min_size();
    if (bytes < least || bytes > SIZE_MAX / 2) {
      throw Error::from_errno(EINVAL, {.tried = "make a boost segment",
                                       .expected = std::to_string(least) + " bytes or more",
                                       .found = std::to_string(bytes)});
    }
    return sizeof(Control) + bytes;
  }

  static void format(std::span<std::byte> object) {
    const std::size_t free = make_empty(object.subspan(sizeof(Control)));
    note_free_bytes(*internal::attach_object<Control>(object), free);
  }
  /// Returns how many bytes are free then.
  static std::size_t make_empty(std::span<std::byte> bytes) {
    const BoostMemory memory(boost::interprocess::create_only, bytes.data(), bytes.size());
    return memory.get_free_memory();
  }
  static void note_free_bytes(Control& control, std::size_t free) noexcept {
    // Relaxed: for people.
    internal::RealEnv::store(control.free_bytes, std::uint64_t{free}, std::memory_order_relaxed);
  }

  static std::unique_ptr<State> attach(Segment segment) {
    const std::span<std::byte> object = segment.object();
    auto* const control = internal::attach_object<Control>(object);
    const bool has_room =
        control != nullptr &&
        object.size() >= sizeof(Control) + BoostMemory::segment_manager::get_min_size();
    if (has_room) {
      BoostMemory memory(boost::interprocess::open_only, managed(segment).data(),
                         managed(segment).size());
      if (memory.get_size() == managed(segment).size()) {
        return std::make_unique<State>(State{std::move(segment), control, std::move(memory)});
      }
    }
    throw Error(Status::corrupt,
                {.tried = "attach to boost segment \"" + segment.name() + '"',
                 .expected = "Boost's managed memory of the segment's size",
                 .found = std::to_string(object.size()) + " bytes of something else",
                 .hint = "remove it if nobody uses it"});
  }

  explicit BoostSegment(Segment segment) : state_(attach(std::move(segment))) {}

  std::unique_ptr<State> state_;
};

/// The memory while the lock is held: to the end of the scope, in the thread that locked. In a
/// child that was forked meanwhile it holds nothing.
class [[nodiscard]] BoostSegment::Access {
 public:
  /// The lock goes along; the other holds nothing any more.
  Access(Access&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
  /// Unlocks; where the lock is not this thread's any more, as in a forked child, it does nothing.
  ~Access() {
    if (state_ == nullptr) return;
    Mutex& mutex = state_->control->mutex;
    if (mutex.is_owned()) note_free_bytes(*state_->control, free_bytes());
    try {
      mutex.unlock();
    } catch (const std::exception&) {
      // Not this thread's any more: a forked child's, or overwritten, which who locks next is told.
      return;
    }
  }

  /// For the calls of Boost's own; what these throw is Boost's.
  [[nodiscard]] BoostMemory& memory() const noexcept { return state_->memory; }

  /// For a container's constructor.
  template <class T>
  [[nodiscard]] BoostAllocator<T> allocator() const {
    return BoostAllocator<T>(memory().get_segment_manager());
  }

  /// The object of that name; made of the arguments if there is none. That it is a T is the
  /// caller's to know: Boost does not check it. Throws Error if there is no room.
  template <class T, class... Args>
  T& find_or_construct(const char* name, Args&&... args) {
    return converting(
        [&]() -> T& { return *memory().find_or_construct<T>(name)(std::forward<Args>(args)...); });
  }

  /// nullptr if there is none.
  template <class T>
  [[nodiscard]] T* find(const char* name) {
    return memory().find<T>(name).first;
  }

  /// Destroys the object of that name; false if there is none.
  template <class T>
  bool destroy(const char* name) {
    return memory().destroy<T>(name);
  }

  /// Drops everything that is in the memory, without looking at it: no destructor runs.
  void clear() { make_empty(managed(state_->segment)); }

  /// In all, of blocks large and small; the largest may be much smaller.
  [[nodiscard]] std::size_t free_bytes() const noexcept { return memory().get_free_memory(); }

 private:
  friend class BoostSegment;
  explicit Access(State& state) noexcept : state_(&state) {}

  /// Calls fn(), and says in our words that there was no room.
  template <class Fn>
  decltype(auto) converting(Fn&& fn) {
    try {
      return std::forward<Fn>(fn)();
    } catch (const boost::interprocess::bad_alloc&) {
      throw Error::from_errno(
          ENOMEM, {.tried = "make room in " + state_->text(),
                   .expected = "a free block that is large enough",
                   .found = std::to_string(free_bytes()) + " of " +
                            std::to_string(memory().get_size()) + " bytes free, in pieces",
                   .hint = "create it larger, or drop what is not needed"});
    }
  }

  State* state_;
};

namespace internal {

/// Says which object could not be locked, and why.
[[noreturn]] inline void throw_no_access(Status status, const std::string& object, Tag died) {
  if (status == Status::owner_died) {
    throw OwnerDied(died, {.tried = "lock " + object,
                           .found = "that " + participant::to_text(died) + " died holding it",
                           .hint = "what is in it may be half changed: lock with a repair"});
  }
  throw Error(status,
              {.tried = "lock " + object,
               .hint = "nobody can know any more who holds it: remove it, and make it anew"});
}

}  // namespace internal

inline std::optional<BoostSegment::Access> BoostSegment::try_lock(Deadline deadline) {
  Mutex& mutex = state_->control->mutex;
  const Status s = mutex.acquire(deadline);
  if (s == Status::timeout) return std::nullopt;
  if (s == Status::owner_died) mutex.unlock();  // the mark stays
  if (s != Status::ok) internal::throw_no_access(s, state_->text(), mutex.died());
  return Access(*state_);
}

inline BoostSegment::Access BoostSegment::lock() {
  std::optional<Access> access = try_lock(Deadline::never());
  return std::move(*access);
}

template <std::invocable<BoostSegment::Access&> Repair>
BoostSegment::Access BoostSegment::lock(Repair repair) {
  Mutex& mutex = state_->control->mutex;
  const Status s = mutex.acquire();
  if (s != Status::ok && s != Status::owner_died) {
    internal::throw_no_access(s, state_->text(), mutex.died());
  }
  Access access(*state_);
  if (s == Status::owner_died) {
    repair(access);
    mutex.mark_consistent();
  }
  return access;
}

template <std::invocable<BoostSegment::Access&> Fn>
decltype(auto) BoostSegment::with_lock(Fn fn) {
  Access access = lock();
  return access.converting([&]() -> decltype(auto) { return fn(access); });
}

template <std::invocable<BoostSegment::Access&> Fn, std::invocable<BoostSegment::Access&> Repair>
decltype(auto) BoostSegment::with_lock(Fn fn, Repair repair) {
  Access access = lock(std::move(repair));
  return access.converting([&]() -> decltype(auto) { return fn(access); });
}

}  // namespace sluice

#endif  // SLUICE_IPC_BOOST_INTERPROCESS_H_
