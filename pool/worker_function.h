// SPDX-License-Identifier: Apache-2.0
//
// WorkerFunction: what runs in each worker beside the tasks, a pool's initializer and finalizer:
// any callable where workers are forked from the process that has it; one that can travel as a task
// does (pool/task_function.h) also where they come from a process that was forked earlier
// (Pool::prepare()). Internal: users assign a function or a lambda.
//
//   WorkerFunction f = [limit] { g_limit = limit; };        // can_travel(): `limit` is an int
//   WorkerFunction g = [&] { g_limit = limits.front(); };   // can't: it holds a reference
//   const WorkerFunction there = WorkerFunction::arrived(f.travelling());
//
// In memory, on its way: the function that the compiler made to run it, as its TaskCode; and what
// encode_function() writes.
//
// Units: bytes. Errors: travelling() throws Error as code_of(); one that has arrived throws Error
// with mismatch when it is called and this process has no such function. Threads: as std::function.
// If a process dies here: nothing is shared. Cost: as std::function; of one that has arrived, a
// search for its code at each call.

#ifndef SLUICE_POOL_WORKER_FUNCTION_H_
#define SLUICE_POOL_WORKER_FUNCTION_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/codec_stream.h"
#include "sluice/pool/task_code.h"
#include "sluice/pool/task_function.h"

namespace sluice::internal {

/// A WorkerFunction's bytes; a module of 0 stands for none.
struct TravellingFunction {
  std::uint64_t module = 0;
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes;

  auto sluice_members() { return std::tie(module, offset, bytes); }
};

/// False if the bytes make no sense or lead to a function that this process does not have.
using TravellingEntry = bool (*)(Decoder&, CodeTable&);

template <class F>
bool run_travelling(Decoder& in, CodeTable& codes) {
  return with_function<F>(in, codes, [](F function) { function(); });
}

class WorkerFunction {
 public:
  WorkerFunction() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): as std::function
  WorkerFunction(std::nullptr_t) noexcept {}
  template <class Fn>
    requires(!std::same_as<std::remove_cvref_t<Fn>, WorkerFunction> &&
             std::constructible_from<std::function<void()>, Fn>)
  // NOLINTNEXTLINE(google-explicit-constructor): as std::function
  WorkerFunction(Fn&& fn) : call_(std::forward<Fn>(fn)) {
    if constexpr (TaskFunction<std::decay_t<Fn>>) pack_ = &pack<std::decay_t<Fn>>;
  }

  explicit operator bool() const noexcept { return call_ != nullptr; }
  void operator()() const { call_(); }

  /// Also if there is none.
  [[nodiscard]] bool can_travel() const noexcept { return !call_ || pack_ != nullptr; }
  /// If it can.
  [[nodiscard]] TravellingFunction travelling() const {
    return call_ ? pack_(call_) : TravellingFunction();
  }
  [[nodiscard]] static WorkerFunction arrived(TravellingFunction from);

 private:
  template <class F>
  static TravellingFunction pack(const std::function<void()>& call) {
    const TaskCode code = remembered_code(reinterpret_cast<Code>(&run_travelling<F>));
    TravellingFunction packed = {.module = code.module, .offset = code.offset, .bytes = {}};
    {
      Encoder out(packed.bytes);
      encode_function(*call.template target<F>(), out);
    }
    return packed;
  }

  std::function<void()> call_;
  TravellingFunction (*pack_)(const std::function<void()>&) = nullptr;
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_WORKER_FUNCTION_H_
