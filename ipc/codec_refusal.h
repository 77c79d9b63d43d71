// SPDX-License-Identifier: Apache-2.0
//
// What the compiler says of a type that can't travel. Internal.
//
// If a process dies here: nothing is shared.

#ifndef SLUICE_IPC_CODEC_REFUSAL_H_
#define SLUICE_IPC_CODEC_REFUSAL_H_

#include <type_traits>

#include "sluice/ipc/codec_traits.h"

namespace sluice::internal {

/// Does not compile for a T that can't travel, and says why, of the part that is the reason.
template <class T, class... Seen>
constexpr bool explain_why_not() {
  constexpr Shape kShape = shape_of<T>();
  static_assert(kShape != Shape::address,
                "sluice: a pointer, reference or view can't travel to another process, where it "
                "would lead nowhere: send what it points to");
  static_assert(kShape != Shape::none,
                "sluice: this class needs one line to travel, in its public part, that lists its "
                "members:  auto sluice_members() { return std::tie(first, second); }   "
                "(#include <tuple>; a class that isn't yours: specialise sluice::Codec)");
  if constexpr ((std::is_same_v<T, Seen> || ...) || kShape == Shape::own ||
                kShape == Shape::boolean || kShape == Shape::plain || kShape == Shape::none ||
                kShape == Shape::address) {
    return true;
  } else {
    return all_parts<T>([]<class Part>() {
      static_assert(kCanBeMade<Part>,
                    "sluice: a part of a message must be default-constructible and not const, so "
                    "that it can be made first and filled in when the message arrives");
      return explain_why_not<Part, T, Seen...>();
    });
  }
}

}  // namespace sluice::internal

#endif  // SLUICE_IPC_CODEC_REFUSAL_H_
