// SPDX-License-Identifier: Apache-2.0
//
// ArrayMemory: what Array<T> knows without its T: header, elements as bytes, and where they lie.
// Internal.
//
// In memory, of the object: see ipc/array.h. The header is untrusted: it is read once, checked
// against the segment's size and the element that the caller expects, and never read again.
//
// Errors: Error as ipc/segment.h and ipc/mapped_file.h say; file_too_large also for a count whose
// bytes can't be counted, mismatch also for open_or_create and map_file of another length, corrupt
// for a header that does not fit its segment. Threads: as Segment. If a process dies here: as
// Segment. Cost: set-up only.

#ifndef SLUICE_IPC_ARRAY_MEMORY_H_
#define SLUICE_IPC_ARRAY_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "sluice/ipc/mapped_file.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

/// Written in full before it is published; the lock alone changes afterwards.
struct ArrayHeader {
  Mutex lock;
  std::uint64_t count;
  std::uint32_t element_size;
  std::uint32_t elements_offset;  ///< of the object
};
static_assert(sizeof(ArrayHeader) == 32 && std::is_standard_layout_v<ArrayHeader>);

/// What an array must be for the caller.
struct ArrayShape {
  SegmentKind kind;
  std::size_t element_size, alignment;
};

class ArrayMemory {
 public:
  /// Fills in the elements of a new array, which are zero.
  using Fill = std::function<void(std::span<std::byte>)>;

  static ArrayMemory create_anonymous(const ArrayShape& shape, std::size_t count,
                                      const SegmentOptions& options, const Fill& fill);
  static ArrayMemory create(std::string_view name, const ArrayShape& shape, std::size_t count,
                            const SegmentOptions& options, const Fill& fill);
  static ArrayMemory open(std::string_view name, const ArrayShape& shape,
                          const SegmentOptions& options);
  static ArrayMemory open_or_create(std::string_view name, const ArrayShape& shape,
                                    std::size_t count, const SegmentOptions& options,
                                    const Fill& fill);
  static ArrayMemory from_fd(UniqueFd fd, const ArrayShape& shape, const SegmentOptions& options);
  static ArrayMemory map_file(const std::string& path, const ArrayShape& shape, std::size_t count,
                              const SegmentOptions& options, const Fill& fill);
  static ArrayMemory open_file(const std::string& path, const ArrayShape& shape,
                               const SegmentOptions& options);

  ArrayMemory(ArrayMemory&& other) noexcept
      : memory_(std::move(other.memory_)),
        header_(std::exchange(other.header_, nullptr)),
        elements_(std::exchange(other.elements_, {})),
        count_(std::exchange(other.count_, 0)) {}
  ArrayMemory& operator=(ArrayMemory&& other) noexcept {
    if (this == &other) return *this;
    memory_ = std::move(other.memory_);
    header_ = std::exchange(other.header_, nullptr);
    elements_ = std::exchange(other.elements_, {});
    count_ = std::exchange(other.count_, 0);
    return *this;
  }

  /// False if it was moved from.
  [[nodiscard]] bool has_object() const noexcept { return header_ != nullptr; }
  [[nodiscard]] Mutex& lock() const noexcept { return header_->lock; }
  [[nodiscard]] std::span<std::byte> elements() const noexcept { return elements_; }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  [[nodiscard]] bool created() const noexcept;
  /// The name, or the path; empty if it has neither.
  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] const SegmentReport& report() const noexcept;
  /// Throws Error; operation_not_supported for a file, which has a path.
  [[nodiscard]] UniqueFd fd() const;
  /// Does nothing unless it is a file. Throws Error.
  void flush() const;

 private:
  using Memory = std::variant<Segment, MappedFile>;

  ArrayMemory(Memory memory, const ArrayShape& shape);
  [[nodiscard]] ArrayMemory&& of_length(std::size_t count, const ArrayShape& shape) &&;

  Memory memory_;
  ArrayHeader* header_ = nullptr;
  std::span<std::byte> elements_;
  std::size_t count_ = 0;
};

// Misuse: std::out_of_range and std::length_error.
[[noreturn]] void refuse_index(std::size_t index, std::size_t size);
[[noreturn]] void refuse_slice(std::size_t first, std::size_t last, std::size_t size);
[[noreturn]] void refuse_length(std::size_t expected, std::size_t found);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ARRAY_MEMORY_H_
