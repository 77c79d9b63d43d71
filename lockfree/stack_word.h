// SPDX-License-Identifier: Apache-2.0
//
// StackWords: the two kinds of words of an IndexStack. Internal, and public to tests that play the
// killed or hostile process.
//
//   head   idle   63 0 | first, some bits | count, the rest      first = index of the top + 1, or 0
//          taken  63 1 | first, some bits | count, down to 32 | 31..0 tag
//                 `tag` has taken the index first - 1; the list goes on behind it
//   owner  63..33 count of the head that took it | 32 whether it is held | 31..0 the holder's tag
//
// The index has as many bits as the capacity needs, the count of changes the rest of 31: 21 bits at
// 1,000 indices. If a process dies here: nothing is shared. Cost: some shifts.

#ifndef SLUICE_LOCKFREE_STACK_WORD_H_
#define SLUICE_LOCKFREE_STACK_WORD_H_

#include <bit>
#include <cstdint>

namespace sluice::internal {

class StackWords {
 public:
  explicit constexpr StackWords(std::uint32_t capacity) noexcept
      : count_bits_(31 - static_cast<int>(std::bit_width(capacity))) {}

  /// Any count; its low bits count.
  [[nodiscard]] constexpr std::uint64_t idle(std::uint32_t first,
                                             std::uint32_t count) const noexcept {
    return (std::uint64_t{first} << count_bits_ | (count & count_mask())) << 32;
  }
  [[nodiscard]] constexpr std::uint64_t taken(std::uint32_t index, std::uint32_t count,
                                              std::uint32_t tag) const noexcept {
    return kTaken | idle(index + 1, count) | tag;
  }
  static constexpr bool is_taken(std::uint64_t head) noexcept { return (head & kTaken) != 0; }
  /// Whatever the bits are, it may be no index of this stack.
  [[nodiscard]] constexpr std::uint32_t first_of(std::uint64_t head) const noexcept {
    return static_cast<std::uint32_t>((head & ~kTaken) >> 32) >> count_bits_;
  }
  [[nodiscard]] constexpr std::uint32_t count_of(std::uint64_t head) const noexcept {
    return static_cast<std::uint32_t>(head >> 32) & count_mask();
  }
  static constexpr std::uint32_t tag_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word);
  }

  static constexpr std::uint64_t held(std::uint32_t count, std::uint32_t tag) noexcept {
    return std::uint64_t{count} << 33 | kHeld | tag;
  }
  static constexpr std::uint64_t given_back(std::uint64_t owner) noexcept {
    return owner & ~(kHeld | 0xffffffff);
  }
  static constexpr std::uint32_t count_of_owner(std::uint64_t owner) noexcept {
    return static_cast<std::uint32_t>(owner >> 33);
  }
  static constexpr bool is_held(std::uint64_t owner) noexcept { return (owner & kHeld) != 0; }

 private:
  [[nodiscard]] constexpr std::uint32_t count_mask() const noexcept {
    return (std::uint32_t{1} << count_bits_) - 1;
  }

  static constexpr std::uint64_t kTaken = std::uint64_t{1} << 63;
  static constexpr std::uint64_t kHeld = std::uint64_t{1} << 32;

  int count_bits_;
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_STACK_WORD_H_
