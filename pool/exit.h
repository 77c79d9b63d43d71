// SPDX-License-Identifier: Apache-2.0
//
// exit: ends a Process's child, or a Thread, from any depth of its calls, unwinding the stack on
// the way. at_exit: what is to be done when this process ends. Not for the end of a whole program
// from one of its threads (std::exit), and not for what a destructor does as well.
//
//   Process child([&] {
//     at_exit([] { std::cout << "bye\n"; });
//     if (!parse(input)) sluice::exit("no such file");    // told on stderr, exit code 1
//     if (input.empty()) sluice::exit(8);
//   });
//
// exit() throws what no `catch (const std::exception&)` takes; a `catch (...)` must pass it on. On
// its way through a noexcept function it ends the process, as any exception. In a thread that is
// neither a Process's child's nor a Thread's, such as main, nobody would catch it: there it is
// std::exit().
//
// A process that ends in good order - main returns, std::exit(), the end of a Process's child -
// does this, in this order: waits for its Threads that are no daemons; runs the hooks of priority 0
// and above; ends its daemon children and waits for the others (process.h); runs the hooks of
// negative priority. _exit(), abort() and signals skip all of it.
//
// Units: exit codes count modulo 256, as the kernel counts them: exit(256) is exit(0), exit(-1) is
// exit(255). Priorities: higher ones run earlier; of one priority the last registered runs first.
// Errors: a hook that throws is told on stderr, and the others run; a hook that calls exit() ends
// itself alone.
//
// Threads and processes: all calls may overlap; a hook runs once, in the process that registered
// it: a forked child has none until it registers its own. Not in signal handlers.
//
// If a process dies here: its hooks do not run.
//
// Cost: at_exit() one mutex and an allocation.

#ifndef SLUICE_POOL_EXIT_H_
#define SLUICE_POOL_EXIT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace sluice {

/// Ends this child or Thread with this code.
[[noreturn]] void exit(int code = 0);

/// Prints the text to standard error, and ends this child or Thread with 1.
[[noreturn]] void exit(std::string_view text);
/// The same, for a literal.
[[noreturn]] inline void exit(const char* text) { exit(std::string_view(text)); }

/// One registered hook; a copy means the same one.
class ExitHook {
 public:
  /// Runs it now, in this thread, instead of at the end; false if it has run, is running, was
  /// cancelled, or is another process's.
  // NOLINTNEXTLINE(modernize-use-nodiscard)
  bool run() const;

  /// Takes it back; false as above.
  // NOLINTNEXTLINE(modernize-use-nodiscard)
  bool cancel() const;

  /// Whether it is still to run.
  [[nodiscard]] bool pending() const;

 private:
  friend ExitHook at_exit(std::function<void()> hook, int priority);
  explicit ExitHook(std::uint64_t id) noexcept : id_(id) {}

  std::uint64_t id_;
};

/// Has `hook` run when this process ends in good order; those of higher priority run earlier.
// NOLINTNEXTLINE(modernize-use-nodiscard): most hooks are never asked after again
ExitHook at_exit(std::function<void()> hook, int priority = 0);

namespace internal {

/// In a catch block: whether what was caught is exit()'s own, which is to be thrown on.
[[nodiscard]] bool is_exit_request() noexcept;

/// How a guarded call ended.
struct Ending {
  int code = 0;
  bool thrown = false;  ///< by an exception that nobody caught
};

/// Runs `body`, which may call sluice::exit(). An exception is told on stderr, with `who`, its type
/// and its text.
Ending run_guarded(const std::string& who, const std::function<void()>& body) noexcept;

/// What comes in the list above, in a process that ends in good order.
enum class ExitStep : std::uint8_t { join_threads, end_children };

/// `run` is called at that step of every process's end from now on.
void at_exit_step(ExitStep step, void (*run)() noexcept);

/// All of the list above; what has been done is not done again.
void run_exit_steps() noexcept;

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_POOL_EXIT_H_
