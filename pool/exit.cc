// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/exit.h"

#include <cxxabi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <typeinfo>
#include <utility>
#include <vector>

#include "sluice/pool/fork_lock.h"
#include "sluice/pool/type_name.h"

namespace sluice {
namespace {

using internal::ForkLock;
using internal::Immortal;

/// What exit() throws. No std::exception: nobody handles it by mistake as a failure.
struct ExitRequest {
  int code;
  std::string text;
};

/// Whether this thread is inside run_guarded().
constinit thread_local bool t_guarded = false;

struct Hook {
  std::uint64_t id;
  int priority;
  pid_t owner;
  std::shared_ptr<std::function<void()>> run;  ///< shared: a copy of the entry throws nothing
};

struct Hooks {
  /// In the order of registration. A forked child keeps its parent's entries and passes over them:
  /// to destroy them would run the destructors of what the parent's hooks hold.
  std::vector<Hook> all;
  std::uint64_t last_id = 0;
  std::array<void (*)() noexcept, 2> steps = {};
  bool registered = false;
};
constinit Immortal<Hooks> g_hooks;

[[noreturn]] void end(int code, std::string text) {
  constexpr int kLowByte = 0xFF;
  if (t_guarded) throw ExitRequest{code & kLowByte, std::move(text)};
  if (!text.empty()) std::fprintf(stderr, "%s\n", text.c_str());
  // NOLINTNEXTLINE(concurrency-mt-unsafe): as the caller asked
  std::exit(code & kLowByte);
}

std::string name_of_current_exception() {
  const std::type_info* const type = abi::__cxa_current_exception_type();
  return type != nullptr ? internal::readable_name_of(*type) : "unknown type";
}

/// ": " and what it says of itself, if it does.
std::string text_of_current_exception() {
  try {
    throw;
  } catch (const std::exception& e) {
    return std::string(": ") + e.what();
  } catch (...) {
    return {};
  }
}

/// In a catch clause. One write, so that the lines of several processes do not mix.
void print_current_exception(const std::string& who) {
  const std::string line = who + " (pid " + std::to_string(getpid()) +
                           "): uncaught exception of type " + name_of_current_exception() +
                           text_of_current_exception() + "\n";
  std::fputs(line.c_str(), stderr);
}

/// With the lock held. Once per process image, at the first use: what was constructed before is
/// destroyed after the steps. Children inherit it.
void register_steps() {
  bool& registered = g_hooks.value.registered;
  registered = registered || std::atexit([] { internal::run_exit_steps(); }) == 0;
}

/// With the lock held: this process's hook of that number.
std::vector<Hook>::iterator find(std::uint64_t id) {
  auto& all = g_hooks.value.all;
  return std::find_if(all.begin(), all.end(),
                      [=](const Hook& hook) { return hook.id == id && hook.owner == getpid(); });
}

/// Takes a hook out of the list: whoever has it runs it, nobody else does.
std::shared_ptr<std::function<void()>> take(std::uint64_t id) {
  const ForkLock lock;
  const auto found = find(id);
  if (found == g_hooks.value.all.end()) return nullptr;
  auto run = std::move(found->run);
  g_hooks.value.all.erase(found);
  return run;
}

/// This process's next hook to run, of at least this priority.
std::optional<std::uint64_t> next_hook(int least_priority) {
  const ForkLock lock;
  const Hook* next = nullptr;
  for (const Hook& hook : g_hooks.value.all) {
    if (hook.owner != getpid() || hook.priority < least_priority) continue;
    if (next == nullptr || hook.priority >= next->priority) next = &hook;  // the later one
  }
  return next != nullptr ? std::optional(next->id) : std::nullopt;
}

/// Also those that hooks register meanwhile.
void run_hooks(int least_priority) {
  while (const auto id = next_hook(least_priority)) {
    if (const auto run = take(*id)) internal::run_guarded("a hook at exit", *run);
  }
}

void run_step(internal::ExitStep step) {
  void (*run)() noexcept = nullptr;
  {
    const ForkLock lock;
    run = g_hooks.value.steps.at(static_cast<std::size_t>(step));
  }
  if (run != nullptr) run();
}

}  // namespace

void exit(int code) { end(code, {}); }
void exit(std::string_view text) { end(EXIT_FAILURE, std::string(text)); }

ExitHook at_exit(std::function<void()> hook, int priority) {
  auto shared = std::make_shared<std::function<void()>>(std::move(hook));
  const ForkLock lock;
  register_steps();
  Hooks& hooks = g_hooks.value;
  hooks.all.push_back({++hooks.last_id, priority, getpid(), std::move(shared)});
  return ExitHook(hooks.last_id);
}

bool ExitHook::run() const {
  const auto hook = take(id_);
  if (hook == nullptr) return false;
  (*hook)();
  return true;
}

bool ExitHook::cancel() const { return take(id_) != nullptr; }

bool ExitHook::pending() const {
  const ForkLock lock;
  return find(id_) != g_hooks.value.all.end();
}

namespace internal {

bool is_exit_request() noexcept {
  try {
    throw;
  } catch (const ExitRequest&) {
    return true;
  } catch (...) {
    return false;
  }
}

Ending run_guarded(const std::string& who, const std::function<void()>& body) noexcept {
  const bool before = std::exchange(t_guarded, true);
  Ending ending;
  try {
    body();
  } catch (const ExitRequest& request) {
    if (!request.text.empty()) std::fprintf(stderr, "%s\n", request.text.c_str());
    ending.code = request.code;
  } catch (...) {
    print_current_exception(who);
    ending = {.code = EXIT_FAILURE, .thrown = true};
  }
  t_guarded = before;
  return ending;
}

void at_exit_step(ExitStep step, void (*run)() noexcept) {
  const ForkLock lock;
  register_steps();
  g_hooks.value.steps.at(static_cast<std::size_t>(step)) = run;
}

void run_exit_steps() noexcept {
  run_step(ExitStep::join_threads);
  run_hooks(0);
  run_step(ExitStep::end_children);
  run_hooks(INT_MIN);
}

}  // namespace internal
}  // namespace sluice
