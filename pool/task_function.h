// SPDX-License-Identifier: Apache-2.0
//
// Which callables a pool takes (pool/pool.h), and how one travels to a worker: functions, lambdas
// and function objects without members, and those whose members are copied as bytes. Not for
// std::function, nor for anything that allocates: such values are arguments. Internal, but for the
// concept TaskFunction.
//
//   pool.submit(parse, text);                                      // a function
//   pool.submit([](const std::string& s) { return s.size(); }, text);
//   pool.submit([limit](int n) { return n < limit; }, 7);          // `limit` is an int
//   pool.submit([&table](int n) { ... }, 7);      // does not compile: see pool/shared_ref.h
//
// A capture that is a pointer, a reference, a view or has one of these for a member does not
// compile: the compiler makes an object of the captures' bytes in a constant expression, which the
// standard refuses for exactly these ([bit.cast]/3).
//
// In memory: a function as its TaskCode, 16 bytes; a lambda with captures as its bytes, with the
// padding cleared; others as nothing at all.
//
// Units: bytes. Errors: at compile time, with a text that says what is missing. encode_function()
// throws Error as code_of(). Threads: pure functions. If a process dies here: nothing is shared.
// Cost: a copy; for a function, a search among those sent before.

#ifndef SLUICE_POOL_TASK_FUNCTION_H_
#define SLUICE_POOL_TASK_FUNCTION_H_

#include <array>
#include <bit>
#include <cstddef>
#include <span>
#include <type_traits>

#include "sluice/ipc/codec_plain.h"
#include "sluice/ipc/codec_stream.h"
#include "sluice/lockfree/value_bytes.h"
#include "sluice/pool/task_code.h"

namespace sluice {
namespace internal {

template <class F>
inline constexpr bool kIsFunction =
    std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;

/// Nothing of it needs to travel: another one is as good.
template <class F>
inline constexpr bool kIsStateless = std::is_empty_v<F> && std::is_default_constructible_v<F>;

template <class F>
inline constexpr bool kIsBytes =
    std::is_class_v<F> && std::is_trivially_copyable_v<F> && MadeOfBytes<F>;

}  // namespace internal

/// What can be run in a worker.
template <class F>
concept TaskFunction =
    internal::kIsFunction<F> || internal::kIsStateless<F> || internal::kIsBytes<F>;

namespace internal {

template <class F>
constexpr bool explain_why_no_task() {
  static_assert(TaskFunction<F> || !std::is_class_v<F> || std::is_trivially_copyable_v<F>,
                "sluice: the captures of a task must be trivially copyable, since they travel as "
                "bytes: pass strings, containers and the like as arguments");
  static_assert(TaskFunction<F> || !std::is_class_v<F> || !std::is_trivially_copyable_v<F>,
                "sluice: a task can't capture a pointer, a reference or a view, which would lead "
                "nowhere in a worker: capture by value, pass an argument, or wrap what lies in "
                "shared memory in shared_ref()");
  static_assert(TaskFunction<F> || std::is_class_v<F>,
                "sluice: a task is a function, a lambda or a function object");
  return true;
}

template <class F>
std::size_t function_size() {
  if constexpr (kIsFunction<F>) return sizeof(TaskCode);
  if constexpr (!kIsFunction<F> && !kIsStateless<F>) return sizeof(F);
  return 0;
}

template <class F>
void encode_function(const F& function, Encoder& out) {
  if constexpr (kIsFunction<F>) {
    const TaskCode code = remembered_code(reinterpret_cast<Code>(function));
    out.number(code.module);
    out.number(code.offset);
  } else if constexpr (!kIsStateless<F>) {
    F copy = function;
    clear_padding(copy);
    out.bytes(std::as_bytes(std::span(&copy, 1)));
  }
}

/// Calls `use` with the function; false, and no call, if the bytes make no sense or this process
/// has no such function.
template <class F, class Use>
bool with_function(Decoder& in, CodeTable& codes, Use use) {
  if constexpr (kIsFunction<F>) {
    TaskCode code = {};
    if (!in.number(code.module) || !in.number(code.offset)) return false;
    const Code found = codes.find(code);
    if (found == nullptr) return false;
    use(reinterpret_cast<F>(found));
  } else if constexpr (kIsStateless<F>) {
    use(F());
  } else {
    std::array<std::byte, sizeof(F)> bytes;
    if (!in.bytes(bytes)) return false;
    use(std::bit_cast<F>(bytes));
  }
  return true;
}

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_POOL_TASK_FUNCTION_H_
