// SPDX-License-Identifier: Apache-2.0
//
// Shared<T>: an object of a type of your own in memory that several processes see. Not for one
// number (ipc/value.h), and not for what changes its size: T holds no pointers, no std::string, no
// std::vector, and no lock but those of sync/.
//
//   struct Bank {
//     static constexpr std::string_view kTypeName = "acme.Bank/1";   // what others know it by
//     sluice::Mutex mutex;
//     long left = 1000, right = 0;
//   };
//   Shared<Bank> mine;                                     // for threads and forked children
//   auto bank = Shared<Bank>::create("bank");              // or by name; and in another process:
//   auto same = Shared<Bank>::open("bank");
//   const std::scoped_lock hold(same->mutex);
//   same->left -= 100;
//
// In memory: behind the stamp of ipc/segment.h (kind "shared", version 1) a T, as the compiler lays
// it out, at byte 4096. It begins as zeroes and what T's constructor writes. If T is trivially
// copyable its padding is zeroed once it is made (clang: up to 256 bytes of T); of others, and of
// what is written later, a copy of another object may bring that one's padding along.
//
// T is a standard-layout type with a trivial destructor and a name: a member kTypeName as above, or
// a specialisation of kTypeNameOf<T>; with it T vouches that its bytes mean the same in each
// process. Whoever opens a Shared<T> must have the same name, size and alignment, and the same
// types and places of the members listed in kMembers, if T has that (ipc/fingerprint.h). So a
// change of T that leaves its size alone needs a new name, or the list.
//
// The creator constructs the T from the arguments (in parentheses, or in braces for an aggregate)
// before anybody else can see it. Nobody constructs it again, and nobody destroys it. The arguments
// are passed as const, since a creator that others get ahead of may begin anew.
//
// Units: none. Errors: making and finding it throw Error as ipc/segment.h says (file_exists,
// no_such_file_or_directory, stale, mismatch, corrupt, foreign_registry, ...); what T's constructor
// throws passes through, and nothing is left behind. Once there is an object, no call fails but
// fd().
//
// Threads and processes: create, open, open_or_create and remove may overlap with anything. Who may
// touch the T at the same time is T's to say, with a Mutex in it. References into the T end with
// the Shared<T>; to let them keep it alive:
//
//   auto owner = std::make_shared<Shared<Bank>>(Shared<Bank>::open("bank"));
//   std::shared_ptr<long> left(owner, &(*owner)->left);
//
// If a process dies here: while it makes the object, nothing is left; afterwards the T is as the
// dead process left it, and its locks say so (sync/mutex.h). The name goes as its lifetime says.
//
// Cost: -> is one load. Attaching takes some 25 to 40 microseconds, and some 90 more per MiB whose
// pages are to be mapped at once (SegmentOptions::populate; only the creator's are by default);
// making a small one some 130.

#ifndef SLUICE_IPC_SHARED_H_
#define SLUICE_IPC_SHARED_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"

namespace sluice {
namespace internal {

/// Options stand before the arguments of T's constructor, and are none of them.
template <class... Args>
inline constexpr bool kBeginsWithOptions = false;
template <class... Rest>
inline constexpr bool kBeginsWithOptions<SegmentOptions, Rest...> = true;

}  // namespace internal

/// A T in shared memory: a handle that is used as a pointer, and the mapping that it keeps.
template <class T>
class Shared {
  static_assert(std::is_object_v<T> && !std::is_array_v<T> &&
                    std::is_same_v<T, std::remove_cv_t<T>>,
                "Shared<T>: T must be an object type, neither const nor volatile, and an array "
                "must be a std::array");
  static_assert(!std::is_pointer_v<T> && !std::is_member_pointer_v<T>,
                "Shared<T>: a pointer means nothing in another process");
  static_assert(std::is_standard_layout_v<T>,
                "Shared<T>: T must be a standard-layout type: nothing virtual, all data members in "
                "one class and under one access specifier, each of a standard-layout type");
  static_assert(std::is_trivially_destructible_v<T>,
                "Shared<T>: nobody destroys a T, so it may own nothing: no std::string, no "
                "std::vector, no destructor of its own");
  static_assert(NamedType<T>,
                "Shared<T>: T has no name. Add to it the line: static constexpr std::string_view "
                "kTypeName = \"your.Name/1\"; or, if it is not yours, specialise "
                "sluice::kTypeNameOf<T>");
  static_assert(alignof(T) <= kObjectOffset, "Shared<T>: T is aligned to more than a page");

  template <class... Args>
  static constexpr bool kMakesT =
      std::is_constructible_v<T, const Args&...> || requires(const Args&... args) { T{args...}; };

 public:
  /// Of the bytes in memory; what was made with another is refused with Status::mismatch.
  static constexpr std::uint32_t kVersion = 1;

  /// Without a name: for the threads of this process, for children forked later, and for whoever is
  /// sent fd().
  template <class... Args>
    requires(!internal::kBeginsWithOptions<Args...> && !(std::is_same_v<Args, Shared> || ...) &&
             kMakesT<Args...>)
  explicit Shared(const Args&... args) : Shared(SegmentOptions{}, args...) {}
  /// The same, with options.
  template <class... Args>
    requires kMakesT<Args...>
  explicit Shared(const SegmentOptions& options, const Args&... args)
      : Shared(Segment::create_anonymous(kind(), sizeof(T), options, format(args...))) {}

  /// Under a name that must be free: std::errc::file_exists.
  template <class... Args>
    requires(!internal::kBeginsWithOptions<Args...> && kMakesT<Args...>)
  static Shared create(std::string_view name, const Args&... args) {
    return create(name, SegmentOptions{}, args...);
  }
  /// The same, with options, such as another lifetime.
  template <class... Args>
    requires kMakesT<Args...>
  static Shared create(std::string_view name, const SegmentOptions& options, const Args&... args) {
    return Shared(Segment::create(name, kind(), sizeof(T), options, format(args...)));
  }

  /// What is there: std::errc::no_such_file_or_directory, Status::stale, mismatch, ...
  static Shared open(std::string_view name, const SegmentOptions& options = {}) {
    return Shared(Segment::open(name, kind(), options));
  }

  /// Opens it if it is there, otherwise makes it; race-free. created() tells which.
  template <class... Args>
    requires(!internal::kBeginsWithOptions<Args...> && kMakesT<Args...>)
  static Shared open_or_create(std::string_view name, const Args&... args) {
    return open_or_create(name, SegmentOptions{}, args...);
  }
  /// The same, with options; lifetime and mode count only if it makes the object.
  template <class... Args>
    requires kMakesT<Args...>
  static Shared open_or_create(std::string_view name, const SegmentOptions& options,
                               const Args&... args) {
    return Shared(Segment::open_or_create(name, kind(), sizeof(T), options, format(args...)));
  }

  /// From a descriptor that another process obtained with fd() and sent.
  static Shared from_fd(UniqueFd fd, const SegmentOptions& options = {}) {
    return Shared(Segment::from_fd(std::move(fd), kind(), options));
  }

  /// Removes the name, whoever uses the object; they go on. False if there is none.
  static bool remove(std::string_view name) { return Segment::remove(name); }

  Shared(Shared&& other) noexcept
      : segment_(std::move(other.segment_)), object_(std::exchange(other.object_, nullptr)) {}
  Shared& operator=(Shared&& other) noexcept {
    segment_ = std::move(other.segment_);
    object_ = this == &other ? object_ : std::exchange(other.object_, nullptr);
    return *this;
  }

  /// As a pointer's: whether the T may be changed is not the handle's to say.
  T* operator->() const noexcept { return object_; }
  /// As operator->(); not through a handle that was moved from.
  T& operator*() const noexcept { return *object_; }
  /// nullptr if it was moved from.
  [[nodiscard]] T* get() const noexcept { return object_; }

  /// Whether this call made the object.
  [[nodiscard]] bool created() const noexcept { return segment_.created(); }
  /// Empty if it has none.
  [[nodiscard]] const std::string& name() const noexcept { return segment_.name(); }
  /// A new descriptor, for another process's from_fd(). Throws Error.
  [[nodiscard]] UniqueFd fd() const { return segment_.fd(); }
  /// The memory that it lies in, with its stamp() and report().
  [[nodiscard]] const Segment& segment() const noexcept { return segment_; }

  /// For people, one line: kind, type, name, size, and the T itself if it can be printed.
  friend std::ostream& operator<<(std::ostream& out, const Shared& shared) {
    out << "shared " << type_text<T>();
    if (shared.object_ == nullptr) return out << ", moved from";
    if (!shared.name().empty()) out << " \"" << shared.name() << '"';
    out << ", " << sizeof(T) << " bytes";
    if constexpr (requires { out << *shared.object_; }) out << ": " << *shared.object_;
    return out;
  }

 private:
  static SegmentKind kind() {
    static const std::string type = type_text<T>();
    return {.name = "shared",
            .version = kVersion,
            .fingerprint = layout_fingerprint<T>(),
            .type = type};
  }

  template <class... Args>
  static Segment::Format format(const Args&... args) {
    return [&args...](std::span<std::byte> object) {
      T* made = nullptr;
      if constexpr (std::is_constructible_v<T, const Args&...>) {
        made = ::new (object.data()) T(args...);
      } else {
        made = ::new (object.data()) T{args...};
      }
      // Nobody else sees it yet.
      if constexpr (internal::kCanClearPadding<T>) internal::clear_padding(*made);
    };
  }

  explicit Shared(Segment segment)
      : segment_(std::move(segment)), object_(internal::attach_object<T>(segment_.object())) {
    if (object_ != nullptr) return;
    throw Error(Status::corrupt,
                {.tried = "attach to shared " + type_text<T>() + " \"" + segment_.name() + "\"",
                 .expected = "room for " + std::to_string(sizeof(T)) + " bytes",
                 .found = std::to_string(segment_.object().size()),
                 .hint = "remove it if nobody uses it"});
  }

  Segment segment_;
  T* object_;
};

}  // namespace sluice

#endif  // SLUICE_IPC_SHARED_H_
