// SPDX-License-Identifier: Apache-2.0
//
// What a type is to a codec (ipc/codec.h): whether its values can travel to another process, in
// which shape, and the number by which two processes agree that they mean the same type. All of it
// is found out while compiling. Users need of it the concept Travels alone.
//
//   static_assert(Travels<std::map<std::string, std::vector<double>>>);
//   static_assert(!Travels<int*>);
//
// A class that is trivially copyable travels as its bytes, unless it holds a pointer, a reference
// or a union: then it is refused, or says `static constexpr bool kTravelsAsBytes = true`, by which
// it promises that its bytes mean the same elsewhere and that its padding tells nothing. gcc 12
// does not see a pointer in an array of classes, nobody sees an address in an integer, and classes
// of more than 4 KiB are not looked into.
//
// Threads, processes, death: nothing at run time. Cost: none at run time.

#ifndef SLUICE_IPC_CODEC_TRAITS_H_
#define SLUICE_IPC_CODEC_TRAITS_H_

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <ranges>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "sluice/ipc/codec_plain.h"
#include "sluice/ipc/fingerprint.h"

namespace sluice {

template <class T>
struct Codec;
class Encoder;
class Decoder;

namespace internal {

/// How a value is written.
enum class Shape : std::uint8_t {
  none,      ///< can't travel, and needs a line that says how
  address,   ///< can't travel: it means something in this process only
  own,       ///< by a specialisation of Codec
  members,   ///< one after the other
  boolean,   ///< a byte, 0 or 1
  plain,     ///< its bytes
  array,     ///< of a fixed length: its elements
  tuple,     ///< its elements
  optional,  ///< whether, and what
  variant,   ///< which, and what
  sequence,  ///< how many, and the elements
  set,       ///< the same, put in their place when they arrive
  map,       ///< the same, of keys with values
};

template <class T, template <class...> class Template>
inline constexpr bool kIs = false;
template <template <class...> class Template, class... Args>
inline constexpr bool kIs<Template<Args...>, Template> = true;

template <class T>
inline constexpr bool kIsArray = std::is_bounded_array_v<T>;
template <class T, std::size_t kSize>
inline constexpr bool kIsArray<std::array<T, kSize>> = true;

template <class T>
concept HasOwnCodec = !requires { typename Codec<T>::BuiltIn; } &&
                      requires(Encoder& out, Decoder& in, const T& from, T& to) {
                        Codec<T>::encode(out, from);
                        Codec<T>::decode(in, to);
                      };

template <class T>
concept HasMembers =
    requires(T& value) { requires kIs<decltype(value.sluice_members()), std::tuple>; };

template <class T>
concept Container = std::default_initializable<T> && requires(const T& value) {
  typename T::value_type;
  value.begin();
  value.end();
  { value.size() } -> std::convertible_to<std::size_t>;
};

template <class T>
concept IsAddress =
    std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T> ||
    std::is_reference_v<T> || std::is_function_v<T> || kIs<T, std::reference_wrapper> ||
    std::ranges::enable_view<T> || std::ranges::enable_borrowed_range<T>;

template <class T>
constexpr Shape container_shape() {
  if constexpr (requires { typename T::mapped_type; }) return Shape::map;
  if constexpr (requires { typename T::key_type; }) return Shape::set;
  if constexpr (requires(T& c, typename T::value_type v) { c.push_back(std::move(v)); }) {
    return Shape::sequence;
  }
  return Shape::none;
}

// NOLINTBEGIN(bugprone-branch-clone): the order decides, so equal answers stay apart.
template <class T>
constexpr Shape shape_of() {
  if constexpr (HasOwnCodec<T>)
    return Shape::own;
  else if constexpr (HasMembers<T>)
    return Shape::members;
  else if constexpr (std::is_same_v<T, bool>)
    return Shape::boolean;
  else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>)
    return Shape::plain;
  else if constexpr (IsAddress<T>)
    return Shape::address;
  else if constexpr (kIsArray<T>)
    return Shape::array;
  else if constexpr (kIs<T, std::tuple> || kIs<T, std::pair>)
    return Shape::tuple;
  else if constexpr (kIs<T, std::optional>)
    return Shape::optional;
  else if constexpr (kIs<T, std::variant>)
    return Shape::variant;
  else if constexpr (Container<T> && container_shape<T>() != Shape::none)
    return container_shape<T>();
  else if constexpr (std::is_convertible_v<const T&, std::string_view> ||
                     std::is_convertible_v<const T&, std::span<const std::byte>>)
    return Shape::address;
  else if constexpr (PlainClass<T>)
    return Shape::plain;
  else
    return Shape::none;
}
// NOLINTEND(bugprone-branch-clone)

template <class T>
struct ElementOf {};
template <class T, std::size_t kSize>
struct ElementOf<T[kSize]> {
  using Type = T;
};
template <class T>
  requires requires { typename T::value_type; }
struct ElementOf<T> {
  using Type = typename T::value_type;
};
template <class T>
using Element = typename ElementOf<T>::Type;

/// Of a built-in array or a std::array.
template <class T>
constexpr std::size_t array_length() {
  if constexpr (std::is_array_v<T>)
    return std::extent_v<T>;
  else
    return std::tuple_size_v<T>;
}

/// The types that make up a T of the shapes members, tuple, optional, variant and map, as a tuple.
template <class T>
struct PartsOf {};
template <class T>
  requires(shape_of<T>() == Shape::members)
struct PartsOf<T> {
  template <class... Parts>
  static std::tuple<std::remove_reference_t<Parts>...> bare(std::tuple<Parts...>);
  using Type = decltype(bare(std::declval<T&>().sluice_members()));
};
template <class T>
  requires(shape_of<T>() == Shape::tuple || shape_of<T>() == Shape::optional ||
           shape_of<T>() == Shape::variant)
struct PartsOf<T> {
  template <template <class...> class Template, class... Parts>
  static std::type_identity<std::tuple<Parts...>> bare(const Template<Parts...>*);
  using Type = typename decltype(bare(static_cast<T*>(nullptr)))::type;
};
template <class T>
  requires(shape_of<T>() == Shape::map)
struct PartsOf<T> {
  using Type = std::tuple<typename T::key_type, typename T::mapped_type>;
};
template <class T>
  requires(shape_of<T>() == Shape::array || shape_of<T>() == Shape::sequence ||
           shape_of<T>() == Shape::set)
struct PartsOf<T> {
  using Type = std::tuple<Element<T>>;
};
template <class T>
using Parts = typename PartsOf<T>::Type;

/// Calls `fn.template operator()<Part>()` for each part of T and gives the results to `fold`.
template <class T, class Fn>
constexpr bool all_parts(Fn fn) {
  return [&]<class... Part>(std::type_identity<std::tuple<Part...>>) {
    return (fn.template operator()<Part>() && ...);
  }(std::type_identity<Parts<T>>());
}

/// Parts must be made before they can be filled in.
template <class T>
inline constexpr bool kCanBeMade = std::is_default_constructible_v<T> && !std::is_const_v<T>;

/// `Seen`: the types that T is a part of; a T among them is being looked at already.
template <class T, class... Seen>
constexpr bool travels() {
  constexpr Shape kShape = shape_of<T>();
  constexpr bool kWhole =
      kShape == Shape::own || kShape == Shape::boolean || kShape == Shape::plain;
  if constexpr ((std::is_same_v<T, Seen> || ...) || kWhole) {
    return true;
  } else if constexpr (kShape == Shape::none || kShape == Shape::address) {
    return false;
  } else {
    return all_parts<T>(
        []<class Part>() { return kCanBeMade<Part> && travels<Part, T, Seen...>(); });
  }
}

/// Whether a T may hold a `Whole`, however deep.
template <class Whole, class T, class... Seen>
constexpr bool leads_to() {
  constexpr Shape kShape = shape_of<T>();
  if constexpr ((std::is_same_v<T, Seen> || ...) || kShape == Shape::own ||
                kShape == Shape::boolean || kShape == Shape::plain) {
    return false;
  } else {
    return !all_parts<T>([]<class Part>() {
      return !std::is_same_v<Part, Whole> && !leads_to<Whole, Part, T, Seen...>();
    });
  }
}

/// Then its values can be nested without end.
template <class T>
inline constexpr bool kHoldsItself = leads_to<T, T>();

/// Whether encoded_size() is known without encoding.
template <class T, class... Seen>
constexpr bool tells_its_size() {
  constexpr Shape kShape = shape_of<T>();
  if constexpr ((std::is_same_v<T, Seen> || ...) || kShape == Shape::boolean ||
                kShape == Shape::plain) {
    return true;
  } else if constexpr (kShape == Shape::own) {
    return requires(const T& value) {
      { Codec<T>::size(value) } -> std::same_as<std::size_t>;
    };
  } else {
    return all_parts<T>([]<class Part>() { return tells_its_size<Part, T, Seen...>(); });
  }
}

/// Elements that are written all at once.
template <class T>
inline constexpr bool kInBulk =
    shape_of<T>() == Shape::plain && kHasNoPadding<T> && std::is_trivially_copyable_v<T>;

/// The bytes that every T takes; 0 if they differ from one to the other.
template <class T>
constexpr std::size_t fixed_size() {
  constexpr Shape kShape = shape_of<T>();
  if constexpr (kShape == Shape::boolean)
    return 1;
  else if constexpr (kShape == Shape::plain)
    return sizeof(T);
  else if constexpr (kShape == Shape::array) {
    constexpr std::size_t kCount = array_length<T>();
    return kCount * fixed_size<Element<T>>();
  } else if constexpr (kShape == Shape::tuple || kShape == Shape::members) {
    std::size_t sum = 0;
    const bool fixed = all_parts<T>([&]<class Part>() {
      sum += fixed_size<Part>();
      return fixed_size<Part>() != 0;
    });
    return fixed ? sum : 0;
  } else {
    return 0;
  }
}

/// Continues `hash` by what a T is.
template <class T, class... Seen>
constexpr Fnv1a& add_type(Fnv1a& hash) {
  constexpr Shape kShape = shape_of<T>();
  if constexpr ((std::is_same_v<T, Seen> || ...))
    return hash.add("itself");
  else if constexpr (kShape == Shape::own || kShape == Shape::boolean || kShape == Shape::plain) {
    return hash.add_number(type_fingerprint<T>());
  } else {
    hash.add(type_name<T>()).add(static_cast<std::uint8_t>(kShape));
    if constexpr (kShape == Shape::array) hash.add_number(array_length<T>());
    all_parts<T>([&]<class Part>() {
      add_type<Part, T, Seen...>(hash);
      return true;
    });
    return hash.add("end");
  }
}

}  // namespace internal

/// Values of T can be sent to another process.
template <class T>
concept Travels = internal::travels<std::remove_cv_t<T>>();

/// The number by which two processes agree that they mean the same type: a plain T's is
/// type_fingerprint<T>(), others have one of their parts.
template <Travels T>
constexpr std::uint64_t codec_fingerprint() {
  constexpr internal::Shape kShape = internal::shape_of<T>();
  if constexpr (kShape == internal::Shape::plain || kShape == internal::Shape::boolean) {
    return type_fingerprint<T>();
  } else {
    Fnv1a hash;
    return internal::add_type<T>(hash).value();
  }
}

}  // namespace sluice

#endif  // SLUICE_IPC_CODEC_TRAITS_H_
