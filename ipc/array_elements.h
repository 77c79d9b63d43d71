// SPDX-License-Identifier: Apache-2.0
//
// ArrayElements: the elements of an array in shared memory, as a contiguous range; AtomicElement:
// one of them, for calls that others may make at the same time. Users get both from ipc/array.h.
//
//   std::ranges::sort(array);
//   array.at(3) = 5;                                  // checked: std::out_of_range
//   array.assign(2, 7, std::vector{1, 2, 3, 4, 5});   // of that length: std::length_error else
//   array.atomic(0).fetch_add(1);
//
// Like a span: whether elements may be changed is the element type's to say, not the range's. All
// but atomic() are plain accesses: who may make them when is for the array's lock to say.
//
// Threads and processes: calls through AtomicElement may overlap with each other, and with nothing
// else on that element. It has no wait(): the standard's waits on threads of one process only.
// If a process dies here: a plain write of more than a machine word may be half done; assign() may
// have written some elements and not others. Each call of AtomicElement is one step, done or not.
// Cost: none beside the accesses; at(), slice() and atomic() check the index.

#ifndef SLUICE_IPC_ARRAY_ELEMENTS_H_
#define SLUICE_IPC_ARRAY_ELEMENTS_H_

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "sluice/ipc/array_memory.h"
#include "sluice/lockfree/value_bytes.h"

namespace sluice {

/// What a lock-free instruction reads and writes in one step, wherever an array puts it.
template <class T>
concept AtomicallyAccessible =
    std::is_trivially_copyable_v<T> && !std::is_same_v<T, bool> &&
    std::atomic_ref<T>::is_always_lock_free && std::atomic_ref<T>::required_alignment <= alignof(T);

/// As std::atomic_ref, which see; the default order is the standard's, sequentially consistent.
template <class T>
class AtomicElement {
  using Order = std::memory_order;
  using Ref = std::atomic_ref<T>;

 public:
  /// For ArrayElements::atomic(), which has checked the index; `element` must outlive it.
  explicit AtomicElement(T& element) noexcept : ref_(element) {}

  /// The element now, as one whole, also if who wrote it was killed. Sequentially consistent unless
  /// the caller says otherwise, here and below: what other data it publishes is the caller's to
  /// know.
  [[nodiscard]] T load(Order order = Order::seq_cst) const noexcept { return ref_.load(order); }
  /// Writes the element in one step; wakes nobody.
  void store(T value, Order order = Order::seq_cst) const noexcept { ref_.store(value, order); }
  /// Writes `value`, and returns what it replaced.
  T exchange(T value, Order order = Order::seq_cst) const noexcept {
    return ref_.exchange(value, order);
  }
  /// Writes `desired` if the element equals `expected`, and returns whether; if not, `expected`
  /// becomes what the element is. Bytes are compared.
  bool compare_exchange(T& expected, T desired, Order order = Order::seq_cst) const noexcept {
    return ref_.compare_exchange_strong(expected, desired, order);
  }

  /// Adds, and returns what the element was before; integers wrap around.
  T fetch_add(T by, Order order = Order::seq_cst) const noexcept
    requires requires(Ref& ref) { ref.fetch_add(by); }
  {
    return ref_.fetch_add(by, order);
  }
  /// Subtracts, and returns what the element was before; integers wrap around.
  T fetch_sub(T by, Order order = Order::seq_cst) const noexcept
    requires requires(Ref& ref) { ref.fetch_sub(by); }
  {
    return ref_.fetch_sub(by, order);
  }
  /// Clears the bits that `by` does not have, and returns what the element was before.
  T fetch_and(T by, Order order = Order::seq_cst) const noexcept
    requires std::integral<T>
  {
    return ref_.fetch_and(by, order);
  }
  /// Sets the bits that `by` has, and returns what the element was before.
  T fetch_or(T by, Order order = Order::seq_cst) const noexcept
    requires std::integral<T>
  {
    return ref_.fetch_or(by, order);
  }
  /// Flips the bits that `by` has, and returns what the element was before.
  T fetch_xor(T by, Order order = Order::seq_cst) const noexcept
    requires std::integral<T>
  {
    return ref_.fetch_xor(by, order);
  }

 private:
  Ref ref_;
};

/// Values that can become the elements of an array.
template <class R, class T>
concept ValuesFor = std::ranges::input_range<R> && std::ranges::sized_range<R> &&
                    std::convertible_to<std::ranges::range_reference_t<R>, T>;

/// The elements of an array as a contiguous range, to be read and written in place.
template <class T>
class ArrayElements {
 public:
  using element_type = T;
  using value_type = T;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using reference = T&;
  using iterator = T*;

  /// The first element, in shared memory; the pointer is good as long as the Array lives.
  [[nodiscard]] T* begin() const noexcept { return elements_.data(); }
  /// Behind the last element; equal to begin() if there are none.
  [[nodiscard]] T* end() const noexcept { return elements_.data() + elements_.size(); }
  /// As begin(); null if the array was moved from.
  [[nodiscard]] T* data() const noexcept { return elements_.data(); }
  /// Fixed when the array was made; 0 if it was moved from.
  [[nodiscard]] std::size_t size() const noexcept { return elements_.size(); }
  /// Whether the array was made without elements, or moved from.
  [[nodiscard]] bool empty() const noexcept { return elements_.empty(); }
  /// All elements, for what takes a span; it is good as long as the Array lives.
  [[nodiscard]] std::span<T> span() const noexcept { return elements_; }

  /// Unchecked.
  [[nodiscard]] T& operator[](std::size_t index) const noexcept { return elements_[index]; }
  /// Throws std::out_of_range.
  [[nodiscard]] T& at(std::size_t index) const {
    if (index >= size()) internal::refuse_index(index, size());
    return elements_[index];
  }
  /// From `first` to before `last`. Throws std::out_of_range.
  [[nodiscard]] std::span<T> slice(std::size_t first, std::size_t last) const {
    if (first > last || last > size()) internal::refuse_slice(first, last, size());
    return elements_.subspan(first, last - first);
  }
  /// Throws std::out_of_range.
  [[nodiscard]] auto atomic(std::size_t index) const
    requires AtomicallyAccessible<T>
  {
    return AtomicElement<T>(at(index));
  }

  /// As many values as there are elements: std::length_error, and nothing is changed.
  template <ValuesFor<T> Values>
  void assign(const Values& values) const {
    assign(0, size(), values);
  }
  /// The same, of values in braces.
  void assign(std::initializer_list<T> values) const { assign(0, size(), values); }
  /// To the elements from `first` to before `last`. Throws std::out_of_range, std::length_error.
  template <ValuesFor<T> Values>
  void assign(std::size_t first, std::size_t last, const Values& values) const {
    const std::span<T> to = slice(first, last);
    const auto found = static_cast<std::size_t>(std::ranges::size(values));
    if (found != to.size()) internal::refuse_length(to.size(), found);
    T* next = to.data();
    for (auto&& value : values) internal::put_value(*next++, static_cast<T>(value));
  }
  /// The same, of values in braces.
  void assign(std::size_t first, std::size_t last, std::initializer_list<T> values) const {
    assign<std::initializer_list<T>>(first, last, values);
  }
  /// Makes each element a copy of `value`, whose padding stays in this process.
  void fill(const T& value) const {
    for (T& element : elements_) internal::put_value(element, value);
  }

  /// The characters up to the first zero, or all.
  [[nodiscard]] std::string text() const
    requires std::same_as<T, char>
  {
    return std::string(data(), strnlen(data(), size()));
  }
  /// Zeroes what is left behind it. Throws std::length_error if it is longer than the array.
  void assign_text(std::string_view text) const
    requires std::same_as<T, char>
  {
    if (text.size() > size()) internal::refuse_length(size(), text.size());
    std::fill(std::copy(text.begin(), text.end(), begin()), end(), '\0');
  }

  ArrayElements(const ArrayElements&) = delete;
  ArrayElements& operator=(const ArrayElements&) = delete;

 protected:
  /// Of memory that whoever inherits from this keeps mapped.
  explicit ArrayElements(std::span<T> elements) noexcept : elements_(elements) {}
  ~ArrayElements() = default;

  /// For a move: gives the elements away, and has none from then on.
  std::span<T> take() noexcept { return std::exchange(elements_, {}); }
  /// For a move: has these elements from then on.
  void put(std::span<T> elements) noexcept { elements_ = elements; }

 private:
  std::span<T> elements_;
};

}  // namespace sluice

#endif  // SLUICE_IPC_ARRAY_ELEMENTS_H_
