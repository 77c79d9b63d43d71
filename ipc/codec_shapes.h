// SPDX-License-Identifier: Apache-2.0
//
// How the built-in codecs write, read and measure a value of each shape (ipc/codec_traits.h).
// Internal; ipc/codec.h has the format.
//
// If a process dies here: nothing is shared.

#ifndef SLUICE_IPC_CODEC_SHAPES_H_
#define SLUICE_IPC_CODEC_SHAPES_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <span>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "sluice/ipc/codec_plain.h"
#include "sluice/ipc/codec_stream.h"
#include "sluice/ipc/codec_traits.h"

namespace sluice {

/// How deep a class may hold values of its own type. Reading more would use up the stack.
inline constexpr int kMostNested = 128;

namespace internal {

/// One step further into a value, counted for the classes that may hold values of their own type.
template <class T>
class Nesting {
  static constexpr bool kCounts = shape_of<T>() == Shape::members && kHoldsItself<T>;

 public:
  explicit Nesting(int& depth) : depth_(depth) {
    if constexpr (kCounts) ++depth_;
  }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
  ~Nesting() {
    if constexpr (kCounts) --depth_;
  }

  [[nodiscard]] bool too_deep() const { return kCounts && depth_ > kMostNested; }
  void check() const {
    if (too_deep()) throw std::logic_error("sluice: a value nested too deeply can't be sent");
  }

 private:
  int& depth_;
};

/// What has no parts takes one byte, so that a count of such is bounded by the bytes as well.
inline void encode_nothing(Encoder& out) { out.number(std::uint8_t{0}); }
inline bool decode_nothing(Decoder& in) {
  std::uint8_t byte = 1;
  return in.number(byte) && byte == 0;
}

template <class T, Shape kShape>
struct BuiltInCodec;

template <class T>
struct BuiltInCodec<T, Shape::plain> {
  static void encode(Encoder& out, const T& value) {
    if constexpr (kHasNoPadding<T>) {
      out.bytes(std::as_bytes(std::span(&value, 1)));
    } else {
      out.bytes(without_padding(value));
    }
  }
  static bool decode(Decoder& in, T& value) {
    return in.bytes(std::as_writable_bytes(std::span(&value, 1)));
  }

 private:
  static std::array<std::byte, sizeof(T)> without_padding(const T& value) {
    std::array<std::byte, sizeof(T)> bytes;
#if defined(__GNUC__) && !defined(__clang__)
    T copy = value;
    __builtin_clear_padding(&copy);
    std::memcpy(bytes.data(), &copy, sizeof(T));
#else
    constexpr auto kMask = value_byte_mask<T>();
    std::memcpy(bytes.data(), &value, sizeof(T));
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      if (!kMask[i]) bytes[i] = std::byte{0};
    }
#endif
    return bytes;
  }
};

template <class T>
struct BuiltInCodec<T, Shape::boolean> {
  static void encode(Encoder& out, bool value) { out.number(static_cast<std::uint8_t>(value)); }
  static bool decode(Decoder& in, bool& value) {
    std::uint8_t byte = 0;
    if (!in.number(byte) || byte > 1) return false;
    value = byte == 1;
    return true;
  }
};

/// Tuples and classes with members.
template <class T>
struct PartsCodec {
  static constexpr bool kEmpty = std::tuple_size_v<Parts<T>> == 0;

  static void encode(Encoder& out, const T& value) {
    if constexpr (kEmpty) encode_nothing(out);
    for_each(value, [&](const auto& part) { out.value(part); });
  }
  static bool decode(Decoder& in, T& value) {
    bool good = true;
    if constexpr (kEmpty) good = decode_nothing(in);
    for_each(value, [&](auto& part) { good = good && in.value(part); });
    return good;
  }
  static std::size_t size(const T& value) {
    std::size_t sum = kEmpty ? 1 : 0;
    for_each(value, [&](const auto& part) {
      sum += Codec<std::remove_cvref_t<decltype(part)>>::size(part);
    });
    return sum;
  }

 private:
  template <class Value, class Fn>
  static void for_each(Value& value, Fn fn) {
    const auto each = [&](auto&... parts) { (fn(parts), ...); };
    if constexpr (shape_of<T>() == Shape::members) {
      // One function of the user's serves both directions; encoding only reads.
      std::apply(each, const_cast<T&>(value).sluice_members());
    } else {
      std::apply(each, value);
    }
  }
};
template <class T>
struct BuiltInCodec<T, Shape::tuple> : PartsCodec<T> {};
template <class T>
struct BuiltInCodec<T, Shape::members> : PartsCodec<T> {};

template <class T>
struct BuiltInCodec<T, Shape::array> {
  static constexpr std::size_t kLength = array_length<T>();

  static void encode(Encoder& out, const T& value) {
    if constexpr (kLength == 0) {
      encode_nothing(out);
    } else if constexpr (kInBulk<Element<T>>) {
      out.bytes(std::as_bytes(std::span(value)));
    } else {
      for (const auto& element : value) out.value(element);
    }
  }
  static bool decode(Decoder& in, T& value) {
    if constexpr (kLength == 0) {
      return decode_nothing(in);
    } else if constexpr (kInBulk<Element<T>>) {
      return in.bytes(std::as_writable_bytes(std::span(value)));
    } else {
      return std::all_of(std::begin(value), std::end(value),
                         [&](auto& element) { return in.value(element); });
    }
  }
  static std::size_t size(const T& value) {
    std::size_t sum = kLength == 0 ? 1 : 0;
    for (const auto& element : value) sum += Codec<Element<T>>::size(element);
    return sum;
  }
};

template <class T>
struct BuiltInCodec<T, Shape::optional> {
  static void encode(Encoder& out, const T& value) {
    out.value(value.has_value());
    if (value) out.value(*value);
  }
  static bool decode(Decoder& in, T& value) {
    bool there = false;
    value.reset();
    return in.value(there) && (!there || in.value(value.emplace()));
  }
  static std::size_t size(const T& value) {
    return 1 + (value ? Codec<typename T::value_type>::size(*value) : 0);
  }
};

template <class T>
struct BuiltInCodec<T, Shape::variant> {
  static constexpr std::size_t kKinds = std::variant_size_v<T>;
  static_assert(kKinds <= 256, "sluice: a variant of more than 256 alternatives can't travel");

  static void encode(Encoder& out, const T& value) {
    if (value.valueless_by_exception()) {
      throw std::logic_error("sluice: a variant without a value can't be sent");
    }
    out.number(static_cast<std::uint8_t>(value.index()));
    std::visit([&](const auto& alternative) { out.value(alternative); }, value);
  }
  static bool decode(Decoder& in, T& value) {
    std::uint8_t kind = 0;
    if (!in.number(kind)) return false;
    return [&]<std::size_t... kKind>(std::index_sequence<kKind...>) {
      return ((kind == kKind && in.value(value.template emplace<kKind>())) || ...);
    }(std::make_index_sequence<kKinds>());
  }
  static std::size_t size(const T& value) {
    if (value.valueless_by_exception()) return 1;  // encode() refuses it
    const auto measure = [](const auto& alternative) {
      return Codec<std::remove_cvref_t<decltype(alternative)>>::size(alternative);
    };
    return 1 + std::visit(measure, value);
  }
};

/// Vectors, strings, lists, sets and maps.
template <class T>
struct ContainerCodec {
  static constexpr bool kBulk = [] {
    if constexpr (requires(T& c) { c.data(), c.resize(1); }) return kInBulk<Element<T>>;
    return false;
  }();

  static void encode(Encoder& out, const T& value) {
    out.count(value.size());
    if constexpr (kBulk) {
      out.bytes(std::as_bytes(std::span(value.data(), value.size())));
    } else {
      for (const auto& element : value) encode_element(out, element);
    }
  }

  static bool decode(Decoder& in, T& value) {
    std::size_t count = 0;
    if constexpr (kBulk) {
      if (!in.count(count, sizeof(Element<T>))) return false;
      if constexpr (sizeof(Element<T>) == 1 && std::is_integral_v<Element<T>>) {
        // Without writing zeroes first: these have no alignment.
        std::span<const std::byte> bytes;
        if (!in.take(count, bytes)) return false;
        const auto* const first = std::bit_cast<const Element<T>*>(bytes.data());
        value.assign(first, first + count);
        return true;
      } else {
        value.resize(count);
        return in.bytes(std::as_writable_bytes(std::span(value.data(), count)));
      }
    } else {
      if (!in.count(count)) return false;
      value.clear();
      // No more memory than there are bytes, whatever the count: the rest comes with the elements.
      if constexpr (requires { value.reserve(count); }) {
        value.reserve(std::min(count, in.left().size() / sizeof(Element<T>) + 1));
      }
      for (std::size_t i = 0; i < count; ++i) {
        // A key that was there already makes no progress.
        if (!decode_element(in, value) || value.size() != i + 1) return false;
      }
      return true;
    }
  }

  static std::size_t size(const T& value) {
    std::size_t sum = sizeof(std::uint32_t);
    if constexpr (kSizeOfElement != 0) {
      sum += value.size() * kSizeOfElement;
    } else {
      for (const auto& element : value) sum += size_of(element);
    }
    return sum;
  }

 private:
  static constexpr bool kMap = shape_of<T>() == Shape::map;
  static constexpr std::size_t kSizeOfElement = kMap ? 0 : fixed_size<Element<T>>();

  template <class E>
  static void encode_element(Encoder& out, const E& element) {
    if constexpr (kMap) {
      out.value(element.first);
      out.value(element.second);
    } else {
      out.template value<Element<T>>(element);
    }
  }

  static bool decode_element(Decoder& in, T& value) {
    if constexpr (kMap) {
      typename T::key_type key{};
      typename T::mapped_type mapped{};
      if (!in.value(key) || !in.value(mapped)) return false;
      value.emplace_hint(value.end(), std::move(key), std::move(mapped));
    } else {
      Element<T> element{};
      if (!in.value(element)) return false;
      if constexpr (shape_of<T>() == Shape::set) {
        value.emplace_hint(value.end(), std::move(element));
      } else {
        value.push_back(std::move(element));
      }
    }
    return true;
  }

  template <class E>
  static std::size_t size_of(const E& element) {
    if constexpr (kMap) {
      return Codec<typename T::key_type>::size(element.first) +
             Codec<typename T::mapped_type>::size(element.second);
    } else {
      return Codec<Element<T>>::size(element);
    }
  }
};
template <class T>
struct BuiltInCodec<T, Shape::sequence> : ContainerCodec<T> {};
template <class T>
struct BuiltInCodec<T, Shape::set> : ContainerCodec<T> {};
template <class T>
struct BuiltInCodec<T, Shape::map> : ContainerCodec<T> {};

/// Does not come to pass: explain_why_not() has said why (ipc/codec_refusal.h).
template <class T>
struct BuiltInCodec<T, Shape::none> {
  static void encode(Encoder&, const T&) {}
  static bool decode(Decoder&, T&) { return false; }
};
template <class T>
struct BuiltInCodec<T, Shape::address> : BuiltInCodec<T, Shape::none> {};

}  // namespace internal

}  // namespace sluice

#endif  // SLUICE_IPC_CODEC_SHAPES_H_
