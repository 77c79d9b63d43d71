// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/task_trace.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <link.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <bit>
#include <climits>
#include <cstring>
#include <exception>
#include <new>
#include <span>
#include <sstream>
#include <string_view>
#include <typeinfo>
#include <unordered_map>
#include <utility>

#include "sluice/pool/type_name.h"

namespace sluice::internal {

#ifndef __GLIBCXX__

// Another library asks in another way: an ordinary type, which nothing that is thrown is of.
TraceProbe::~TraceProbe() = default;

void start_tracing() noexcept {}

std::string take_trace(const void*, TraceEnd) { return {}; }

#else

namespace {

/// Those of the unwinder, which are cut off later, and the innermost of the task.
constexpr std::size_t kMostFrames = 72;
constexpr std::size_t kMostLines = 64;
/// Where the unwinder's are looked for.
constexpr std::size_t kMostThrowing = 12;
constexpr std::size_t kMostNameBytes = 200;

struct Stack {
  std::array<std::uintptr_t, kMostFrames> at;  ///< the calls
  std::size_t depth;                           ///< of all
};

constinit thread_local Stack t_stack = {};

/// The call that a frame is in: it lies before the address at which the frame goes on.
std::uintptr_t call_in(_Unwind_Context* frame) {
  int before_call = 0;
  const std::uintptr_t next = _Unwind_GetIPInfo(frame, &before_call);
  return before_call != 0 ? next : next - 1;
}

void record() noexcept {
  t_stack.depth = 0;
  const auto add = [](_Unwind_Context* frame, void*) {
    if (t_stack.depth < kMostFrames) t_stack.at[t_stack.depth] = call_in(frame);
    ++t_stack.depth;
    return _URC_NO_REASON;
  };
  _Unwind_Backtrace(add, nullptr);
}

/// How many of the calling thread's frames are those of the callers of that one.
std::size_t callers_of(const void* handler) {
  struct Count {
    std::uintptr_t handler;
    std::size_t callers;
  } count = {std::bit_cast<std::uintptr_t>(handler), 0};
  const auto add = [](_Unwind_Context* frame, void* counted) {
    auto& [handler, callers] = *static_cast<Count*>(counted);
    // Where its stack ends: of a caller, before the other's frame begins.
    if (_Unwind_GetCFA(frame) > handler) ++callers;
    return _URC_NO_REASON;
  };
  _Unwind_Backtrace(add, &count);
  return count.callers;
}

/// The type_info of TraceProbe: asked whether its handler catches what is thrown.
class ProbeType final : public std::type_info {
 public:
  ProbeType() : std::type_info("N6sluice8internal10TraceProbeE") {}

  bool __do_catch(const std::type_info*, void**, unsigned) const override {
    record();
    return false;
  }
};

}  // namespace

/// Under the name by which compilers refer to it, hence not static. Bytes, so that nothing is
/// constructed, and perhaps too late, where there are no workers.
// NOLINTNEXTLINE(misc-use-internal-linkage)
alignas(ProbeType) std::array<std::byte, sizeof(ProbeType)> g_probe_type
    asm("_ZTIN6sluice8internal10TraceProbeE");

void start_tracing() noexcept {
  new (g_probe_type.data()) ProbeType;
  record();  // so that what the unwinder makes at first, it has made
  t_stack.depth = 0;
}

namespace {

bool throws_by_address(std::uintptr_t call) {
  void* const function = _Unwind_FindEnclosingFunction(std::bit_cast<void*>(call + 1));
  return function == std::bit_cast<void*>(&abi::__cxa_throw) ||
         function == std::bit_cast<void*>(&abi::__cxa_rethrow) ||
         function == std::bit_cast<void*>(&std::rethrow_exception);
}

/// Where the program calls them through a stub, which it takes for their addresses.
bool throws_by_name(std::uintptr_t call) {
  Dl_info info = {};
  if (dladdr(std::bit_cast<void*>(call), &info) == 0 || info.dli_sname == nullptr) return false;
  const std::string_view name = info.dli_sname;
  return name == "__cxa_throw" || name == "__cxa_rethrow" ||
         name.starts_with("_ZSt17rethrow_exception");
}

/// What is thrown where: without the frames of throwing itself.
std::span<const std::uintptr_t> without_throwing(std::span<const std::uintptr_t> frames) {
  const auto innermost = frames.first(std::min(frames.size(), kMostThrowing));
  // By name only if need be: that is a search among all names of a module.
  for (const auto throws : {throws_by_address, throws_by_name}) {
    // The last: of a sanitizer there are two, which call each other.
    const auto found = std::find_if(innermost.rbegin(), innermost.rend(), throws);
    if (found != innermost.rend()) return {found.base(), frames.end()};
  }
  return frames;
}

std::string program() {
  std::string path(PATH_MAX, '\0');
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size());
  if (size <= 0) return "the program";
  path.resize(static_cast<std::size_t>(size));
  return path;
}

std::string describe(std::uintptr_t call) {
  std::ostringstream text;
  Dl_info info = {};
  link_map* module = nullptr;
  if (dladdr1(std::bit_cast<void*>(call), &info, reinterpret_cast<void**>(&module),
              RTLD_DL_LINKMAP) == 0) {
    text << "0x" << std::hex << call;
    return text.str();
  }
  const bool is_program = *module->l_name == '\0';
  text << (is_program ? program() : module->l_name) << "+0x" << std::hex << call - module->l_addr;
  if (info.dli_sname != nullptr) {
    std::string name = readable_name(info.dli_sname);
    if (name.size() > kMostNameBytes) name = name.substr(0, kMostNameBytes) + "...";
    text << ' ' << name;
  }
  return text.str();
}

/// The same, which the thread remembers: to find a name takes as long as the module has names.
const std::string& described(std::uintptr_t call) {
  static thread_local std::unordered_map<std::uintptr_t, std::string> known;
  constexpr std::size_t kMostKnown = 4096;
  if (known.size() >= kMostKnown) known.clear();
  const auto [place, is_new] = known.try_emplace(call);
  if (is_new) place->second = describe(call);
  return place->second;
}

}  // namespace

std::string take_trace(const void* handler, TraceEnd end) {
  const std::size_t depth = std::exchange(t_stack.depth, 0);
  const std::size_t outside = callers_of(handler) + (end == TraceEnd::before_handler ? 1 : 0);
  if (depth <= outside) return {};
  const std::size_t inside = depth - outside;
  const auto kept = without_throwing(std::span(t_stack.at).first(std::min(inside, kMostFrames)));
  const std::size_t left = inside - std::min(inside, kMostFrames) + kept.size();
  constexpr std::size_t kNoteBytes = 40;
  std::string text;
  std::size_t line = 0;
  for (; line < std::min(kept.size(), kMostLines); ++line) {
    const std::string& frame = described(kept[line]);
    const std::string number = "  #" + std::to_string(line) + ' ';
    if (text.size() + number.size() + frame.size() + kNoteBytes > kMostTraceBytes) break;
    text.append(line == 0 ? "" : "\n").append(number).append(frame);
  }
  if (line < left) text += "\n  (" + std::to_string(left - line) + " more)";
  return text;
}

#endif

}  // namespace sluice::internal
