// SPDX-License-Identifier: Apache-2.0
//
// Memory for a ring under test, and a hand in it for playing the hostile or killed process.

#ifndef SLUICE_TESTS_LOCKFREE_MEMORY_H_
#define SLUICE_TESTS_LOCKFREE_MEMORY_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <span>

#include "sluice/sync/platform.h"

namespace sluice::tests {

/// Memory for a ring, aligned as one wants it, with foreign bytes on both sides that no call may
/// touch.
class Memory {
 public:
  explicit Memory(std::size_t size)
      : size_(size), all_(new(std::align_val_t(kNoSharing)) std::byte[size + 2 * kNoSharing]) {
    std::fill_n(all_, size + 2 * kNoSharing, kForeign);
  }
  ~Memory() {
    for (std::size_t i = 0; i < kNoSharing; ++i) {
      EXPECT_EQ(all_[i], kForeign) << "written before the ring";
      EXPECT_EQ(all_[kNoSharing + size_ + i], kForeign) << "written behind the ring";
    }
    ::operator delete[](all_, std::align_val_t(kNoSharing));
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  [[nodiscard]] std::span<std::byte> span() const { return {all_ + kNoSharing, size_}; }
  operator std::span<std::byte>() const { return span(); }

  /// The word at `offset`, as a hostile process would overwrite it.
  template <class Number>
  void poke(std::size_t offset, Number value) {
    std::memcpy(all_ + kNoSharing + offset, &value, sizeof value);
  }
  template <class Number>
  [[nodiscard]] Number peek(std::size_t offset) const {
    Number value;
    std::memcpy(&value, all_ + kNoSharing + offset, sizeof value);
    return value;
  }

 private:
  static constexpr std::byte kForeign{0xe7};
  std::size_t size_;
  std::byte* all_;
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_LOCKFREE_MEMORY_H_
