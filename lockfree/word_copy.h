// SPDX-License-Identifier: Apache-2.0
//
// Copies between shared words, which others may overwrite meanwhile, and private bytes. Internal.
//
// Each word is loaded with acquire, or stored with release, so that who sees one word of a value
// sees what its writer had stored before. On x86-64 every load and store is that by itself,
// whatever its width; only the compiler must be told. There, and where nobody interposes, blocks of
// 64 bytes are copied by instructions that the compiler does not look into: a loop of 8-byte
// atomics is never joined to wider ones.
//
// If a process dies here: some of the words are written. Cost: up to twice memcpy.

#ifndef SLUICE_LOCKFREE_WORD_COPY_H_
#define SLUICE_LOCKFREE_WORD_COPY_H_

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "sluice/sync/env.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

#if !defined(__x86_64__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kHasBlocks = false;
#elif defined(__has_feature)
inline constexpr bool kHasBlocks = !__has_feature(thread_sanitizer);
#else
inline constexpr bool kHasBlocks = true;
#endif

/// Environments that interpose (tests/model) see each word.
template <class Env>
inline constexpr bool kCopiesBlocks = kHasBlocks && std::derived_from<Env, RealEnv>;

inline constexpr std::size_t kBlock = 64;

/// Copies 64 bytes, of any alignment.
inline void copy_block([[maybe_unused]] void* to, [[maybe_unused]] const void* from) noexcept {
#if defined(__x86_64__)
  asm volatile(
      "movups   (%1), %%xmm0\n\tmovups 16(%1), %%xmm1\n\t"
      "movups 32(%1), %%xmm2\n\tmovups 48(%1), %%xmm3\n\t"
      "movups %%xmm0,   (%0)\n\tmovups %%xmm1, 16(%0)\n\t"
      "movups %%xmm2, 32(%0)\n\tmovups %%xmm3, 48(%0)"
      :
      : "r"(to), "r"(from)
      : "xmm0", "xmm1", "xmm2", "xmm3", "memory");
#endif
}

/// Calls each(i) for i from `first` to less than `first` + kCount, without a loop.
template <std::size_t kCount, class Each>
void unrolled(std::size_t first, Each each) {
  [&]<std::size_t... kI>(std::index_sequence<kI...>) {
    (each(first + kI), ...);
  }(std::make_index_sequence<kCount>());
}

/// each(i) for all i below kCount, eight at a time.
template <std::size_t kCount, class Each>
void for_words(Each each) {
  std::size_t i = 0;
  for (; i + 8 <= kCount; i += 8) unrolled<8>(i, each);
  unrolled<kCount % 8>(i, each);
}

template <class Env, std::size_t kBytes>
void load_bytes(const Word<std::uint64_t>* words, std::byte* to) noexcept {
  constexpr std::size_t kInBlocks = kCopiesBlocks<Env> ? kBytes / kBlock * kBlock : 0;
  for (std::size_t at = 0; at < kInBlocks; at += kBlock) copy_block(to + at, words + at / 8);
  for_words<(kBytes - kInBlocks + 7) / 8>([&](std::size_t i) {
    const std::size_t at = kInBlocks + 8 * i;
    // Acquire: pairs with the release in store_bytes().
    const std::uint64_t word = Env::load(words[at / 8], std::memory_order_acquire);
    std::memcpy(to + at, &word, std::min<std::size_t>(8, kBytes - at));
  });
}

/// The last word is filled up with zeroes.
template <class Env, std::size_t kBytes>
void store_bytes(Word<std::uint64_t>* words, const std::byte* from) noexcept {
  constexpr std::size_t kInBlocks = kCopiesBlocks<Env> ? kBytes / kBlock * kBlock : 0;
  for (std::size_t at = 0; at < kInBlocks; at += kBlock) copy_block(words + at / 8, from + at);
  for_words<(kBytes - kInBlocks + 7) / 8>([&](std::size_t i) {
    const std::size_t at = kInBlocks + 8 * i;
    std::uint64_t word = 0;
    std::memcpy(&word, from + at, std::min<std::size_t>(8, kBytes - at));
    // Release: pairs with the acquire in load_bytes().
    Env::store(words[at / 8], word, std::memory_order_release);
  });
}

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_WORD_COPY_H_
