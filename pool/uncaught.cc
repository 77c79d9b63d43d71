// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/uncaught.h"

#include <cxxabi.h>

#include <cstdint>
#include <source_location>
#include <typeinfo>
#include <utility>

#include "sluice/pool/log.h"
#include "sluice/pool/log_record.h"
#include "sluice/pool/type_name.h"
#include "sluice/sync/env.h"
#include "sluice/sync/word.h"

namespace sluice {
namespace {

/// The hook's address; 0 for the default.
constinit internal::Word<std::uintptr_t> g_hook;

std::uintptr_t swap_hook(std::uintptr_t hook) noexcept {
  // Relaxed: the address of a function is all that there is to see; the swap decides.
  std::uintptr_t before = internal::RealEnv::load(g_hook, std::memory_order_relaxed);
  // Relaxed, as above.
  while (!internal::RealEnv::cas(g_hook, before, hook, std::memory_order_relaxed)) {
  }
  return before;
}

UncaughtHook hook_at(std::uintptr_t address) noexcept {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): it was a pointer, a Word holds integers
  return address == 0 ? &default_uncaught_hook : reinterpret_cast<UncaughtHook>(address);
}

}  // namespace

UncaughtHook set_uncaught_hook(UncaughtHook hook) noexcept {
  return hook_at(swap_hook(reinterpret_cast<std::uintptr_t>(hook)));
}

void default_uncaught_hook(std::string_view where, const std::exception_ptr& what) {
  std::string text = "uncaught exception in ";
  text.append(where).append(": ").append(internal::describe(what));
  get_logger().emit(LogLevel::error, std::move(text), std::source_location::current());
}

namespace internal {

void report_uncaught(std::string_view where, const std::exception_ptr& what) noexcept {
  try {
    // Relaxed: as in swap_hook().
    hook_at(RealEnv::load(g_hook, std::memory_order_relaxed))(where, what);
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is nobody else to tell
  }
}

std::string describe(const std::exception_ptr& what) {
  if (what == nullptr) return "no exception";
  try {
    std::rethrow_exception(what);
  } catch (const std::exception& e) {
    return readable_name_of(typeid(e)) + ": " + e.what();
  } catch (...) {
    const std::type_info* const type = abi::__cxa_current_exception_type();
    return type != nullptr ? readable_name_of(*type) : "an exception of a foreign language";
  }
}

}  // namespace internal
}  // namespace sluice
